package retake

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

var (
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
	textType = reflect.TypeFor[encoding.TextMarshaler]()
	ownType  = reflect.TypeFor[json.Marshaler]()
)

// schemas makes the JSON Schemas of types. A type that holds itself is open where it does.
type schemas struct {
	within map[reflect.Type]bool
	// Whether a list and a map may be null, which a nil one is in JSON.
	nullable bool
	// Whether this is a part of a list or a map, or behind a pointer: there no default is filled in, and none is told.
	isPart bool
}

func (s schemas) part(of reflect.Type) map[string]any {
	s.isPart = true
	return s.of(of)
}

func inputSchema(of reflect.Type) map[string]any {
	return schemas{within: map[reflect.Type]bool{}}.of(of)
}

func resultSchema(of reflect.Type) map[string]any {
	return schemas{within: map[reflect.Type]bool{}, nullable: true}.of(of)
}

func (s schemas) orNull(schema map[string]any) map[string]any {
	if !s.nullable {
		return schema
	}
	return map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
}

func (s schemas) of(of reflect.Type) map[string]any {
	switch {
	case of == timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case of == rawType, of.Implements(ownType) && of.Kind() != reflect.Pointer:
		return map[string]any{}
	case of.Implements(textType) && of.Kind() != reflect.Pointer:
		return map[string]any{"type": "string"}
	}
	switch of.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Pointer:
		return map[string]any{"anyOf": []any{s.part(of.Elem()), map[string]any{"type": "null"}}}
	case reflect.Slice, reflect.Array:
		if of.Elem().Kind() == reflect.Uint8 && of.Kind() == reflect.Slice {
			return map[string]any{"type": "string", "contentEncoding": "base64"}
		}
		list := map[string]any{"type": "array", "items": s.part(of.Elem())}
		if of.Kind() == reflect.Array {
			list["minItems"], list["maxItems"] = of.Len(), of.Len()
			return list
		}
		return s.orNull(list)
	case reflect.Map:
		return s.orNull(map[string]any{"type": "object", "additionalProperties": s.part(of.Elem())})
	case reflect.Struct:
		return s.ofStruct(of)
	default:
		return map[string]any{}
	}
}

func (s schemas) ofStruct(of reflect.Type) map[string]any {
	if s.within[of] {
		return map[string]any{"type": "object"}
	}
	s.within[of] = true
	defer delete(s.within, of)
	properties, required := map[string]any{}, []string{}
	for _, field := range reflect.VisibleFields(of) {
		name, mayBeLeftOut, ok := jsonName(field)
		if !ok || len(field.Index) > 1 && !field.Anonymous && !isPromoted(of, field) {
			continue
		}
		schema := s.of(field.Type)
		if text := field.Tag.Get("desc"); text != "" {
			schema["description"] = text
		}
		if names := field.Tag.Get("enum"); names != "" {
			schema["enum"] = strings.Split(names, ",")
		}
		if text, has := field.Tag.Lookup("default"); has && !s.isPart {
			schema["default"], mayBeLeftOut = defaultOf(of, field, text), true
		}
		properties[name] = schema
		if !mayBeLeftOut {
			required = append(required, name)
		}
	}
	return map[string]any{
		"type": "object", "properties": properties, "required": required, "additionalProperties": false,
	}
}

// isPromoted tells whether a field of an embedded struct stands among the fields of the outer one in JSON.
func isPromoted(of reflect.Type, field reflect.StructField) bool {
	for n := 1; n < len(field.Index); n++ {
		outer := of.FieldByIndex(field.Index[:n])
		if !outer.Anonymous || outer.Tag.Get("json") != "" {
			return false
		}
	}
	return true
}

// jsonName returns a field's name in JSON, and whether it may be left out; false for one that is not there.
func jsonName(field reflect.StructField) (name string, mayBeLeftOut bool, ok bool) {
	tag := field.Tag.Get("json")
	if !field.IsExported() || tag == "-" || field.Anonymous && tag == "" && field.Type.Kind() == reflect.Struct {
		return "", false, false
	}
	name, rest, _ := strings.Cut(tag, ",")
	if name == "" {
		name = field.Name
	}
	mayBeLeftOut = strings.Contains(rest, "omitempty") || strings.Contains(rest, "omitzero") || field.Type.Kind() == reflect.Pointer
	return name, mayBeLeftOut, true
}

// defaultOf reads a default: JSON, or text for a string.
func defaultOf(of reflect.Type, field reflect.StructField, text string) any {
	if field.Type.Kind() == reflect.String {
		return text
	}
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		panic(fmt.Sprintf("retake: the default of `%s.%s` is no JSON: `%s`", of, field.Name, text))
	}
	return value
}

// setDefaults sets the fields of a struct to what they are when they are left out.
func setDefaults(value reflect.Value) error {
	if value.Kind() != reflect.Struct {
		return nil
	}
	for _, field := range reflect.VisibleFields(value.Type()) {
		text, has := field.Tag.Lookup("default")
		into := value.FieldByIndex(field.Index)
		if !field.IsExported() {
			continue
		}
		if !has {
			if err := setDefaults(into); err != nil {
				return err
			}
		} else if into.Kind() == reflect.String {
			into.SetString(text)
		} else if err := json.Unmarshal([]byte(text), into.Addr().Interface()); err != nil {
			return fmt.Errorf("the default of `%s`: %w", field.Name, err)
		}
	}
	return nil
}
