package retake

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// schemas makes the JSON Schemas of types. A type that holds itself is open where it does.
type schemas struct {
	within map[reflect.Type]bool
	// The way to what is looked at, for people.
	path []string
}

// schemaOf returns the schema of a type; panics with words for one that JSON cannot say, so that no component is made of it.
func schemaOf(whose string, of reflect.Type) map[string]any {
	return schemas{within: map[reflect.Type]bool{}, path: []string{whose}}.of(of)
}

func (s schemas) below(name string) schemas {
	s.path = append(s.path[:len(s.path):len(s.path)], name)
	return s
}

func (s schemas) refuse(format string, values ...any) {
	panic(fmt.Sprintf("retake: %s %s", strings.Join(s.path, "."), fmt.Sprintf(format, values...)))
}

func (s schemas) of(of reflect.Type) map[string]any {
	switch {
	case of == timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case of == bigType:
		return map[string]any{"type": "integer"}
	case of == numberType:
		return map[string]any{"type": "number"}
	case of.Kind() == reflect.Pointer:
		inner := s.of(of.Elem())
		if len(inner) == 0 {
			return inner // Anything, null too.
		}
		return map[string]any{"anyOf": []any{inner, map[string]any{"type": "null"}}}
	case of == rawType, has(of, marshaler), has(of, unmarshaler):
		if it, is := reflect.New(of).Interface().(interface{ retakeInner() reflect.Type }); is {
			return s.of(it.retakeInner())
		}
		return map[string]any{}
	case has(of, textMarshaler), has(of, textReader):
		return map[string]any{"type": "string"}
	}
	switch of.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int, reflect.Int64:
		// As they are in WebAssembly, where an `int` has 64 bits.
		top := int64(1)<<(of.Bits()-1) - 1
		if of.Kind() == reflect.Int {
			top = 1<<63 - 1
		}
		return map[string]any{"type": "integer", "minimum": -top - 1, "maximum": top}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint, reflect.Uint64, reflect.Uintptr:
		top := ^uint64(0)
		if of.Kind() < reflect.Uint64 && of.Kind() != reflect.Uint {
			top = 1<<of.Bits() - 1
		}
		return map[string]any{"type": "integer", "minimum": 0, "maximum": top}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Slice, reflect.Array:
		return s.ofList(of)
	case reflect.Map:
		return s.ofMap(of)
	case reflect.Struct:
		return s.ofStruct(of)
	case reflect.Interface:
		return map[string]any{}
	}
	s.refuse("is of the type `%s`, which JSON cannot say", of)
	return nil
}

func (s schemas) ofList(of reflect.Type) map[string]any {
	if of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Uint8 {
		return map[string]any{"type": "string", "contentEncoding": "base64"}
	}
	if s.within[of] {
		return map[string]any{"type": "array"}
	}
	s.within[of] = true
	defer delete(s.within, of)
	list := map[string]any{"type": "array", "items": s.below("[]").of(of.Elem())}
	if of.Kind() == reflect.Array {
		list["minItems"], list["maxItems"] = of.Len(), of.Len()
	}
	return list
}

func (s schemas) ofMap(of reflect.Type) map[string]any {
	if s.within[of] {
		return map[string]any{"type": "object"}
	}
	s.within[of] = true
	defer delete(s.within, of)
	object := map[string]any{"type": "object", "additionalProperties": s.below("[]").of(of.Elem())}
	switch key := of.Key(); {
	case key.Kind() == reflect.String, key.Implements(textMarshaler), key.Kind() == reflect.Interface:
	case key.Kind() >= reflect.Int && key.Kind() <= reflect.Int64:
		object["propertyNames"] = map[string]any{"pattern": `^-?\d+$`}
	case key.Kind() >= reflect.Uint && key.Kind() <= reflect.Uintptr:
		object["propertyNames"] = map[string]any{"pattern": `^\d+$`}
	default:
		s.refuse("is of the type `%s`, and in JSON all keys are text", of)
	}
	return object
}

func (s schemas) ofStruct(of reflect.Type) map[string]any {
	if s.within[of] {
		return map[string]any{"type": "object"}
	}
	s.within[of] = true
	defer delete(s.within, of)
	all := fieldsOf(of)
	if len(all) == 0 && of.NumField() > 0 {
		s.refuse("is a `%s` without exported fields, of which JSON can say nothing: begin their names with capitals", of)
	}
	properties, required := map[string]any{}, []string{}
	for _, it := range all {
		mayBeLeftOut := it.mayBeLeftOut() || it.isWithinPointer(of)
		schema := s.below(it.name).of(it.Type)
		if it.quoted {
			schema = map[string]any{"type": "string"}
		}
		if text := it.Tag.Get("desc"); text != "" {
			schema["description"] = text
		}
		if names := it.Tag.Get("enum"); names != "" {
			schema["enum"] = strings.Split(names, ",")
		}
		if text, has := it.Tag.Lookup("default"); has {
			schema["default"], mayBeLeftOut = it.defaultJSON(text), true
		}
		properties[it.name] = schema
		if !mayBeLeftOut {
			required = append(required, it.name)
		}
	}
	return map[string]any{
		"type": "object", "properties": properties, "required": required, "additionalProperties": false,
	}
}

// isWithinPointer tells whether a field is one of a struct that is embedded by a pointer, which may be nil.
func (f field) isWithinPointer(of reflect.Type) bool {
	for _, n := range f.index[:len(f.index)-1] {
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of = of.Field(n).Type; of.Kind() == reflect.Pointer {
			return true
		}
	}
	return false
}

// Maybe tells apart what was left out, what is null, and a value: a pointer cannot. Write `json:"day,omitzero"` behind it.
type Maybe[T any] struct {
	// Given tells whether it is there, null or not.
	Given bool
	// Value is nil for null, and for what was left out.
	Value *T
}

// IsZero tells whether it is left out.
func (m Maybe[T]) IsZero() bool { return !m.Given }

// MarshalJSON writes the value, or null.
func (m Maybe[T]) MarshalJSON() ([]byte, error) {
	text, err := encode(m.Value)
	return []byte(text), err
}

// UnmarshalJSON reads what is there.
func (m *Maybe[T]) UnmarshalJSON(text []byte) error {
	m.Given, m.Value = true, nil
	return read(text, &m.Value, true)
}

func (*Maybe[T]) retakeInner() reflect.Type { return reflect.TypeFor[*T]() }

var _ json.Marshaler = Maybe[int]{}
