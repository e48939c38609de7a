package retake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
)

// decode reads JSON into a value, what was left out being what the defaults of its fields say.
func decode(text string, into any) error {
	filled, err := withDefaults(json.RawMessage(text), reflect.TypeOf(into).Elem())
	if err != nil {
		return err
	}
	return read(filled, into, true)
}

// hasLongNumber finds what may be a whole number that a float64 cannot say.
var hasLongNumber = regexp.MustCompile(`\d{16}`)

// read reads JSON. In an `any`, a number is a float64, as ever; but a whole number that a float64 cannot say is a json.Number.
func read(text []byte, into any, isStrict bool) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if isStrict {
		decoder.DisallowUnknownFields()
	}
	if !hasLongNumber.Match(text) {
		return decoder.Decode(into)
	}
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	settle(reflect.ValueOf(into).Elem())
	return nil
}

// settle makes a float64 of each json.Number in an `any` that is one.
func settle(value reflect.Value) {
	switch value.Kind() {
	case reflect.Interface:
		if number, is := value.Interface().(json.Number); is {
			if value.CanSet() {
				value.Set(reflect.ValueOf(settled(number)))
			}
		} else if !value.IsNil() {
			settle(value.Elem())
		}
	case reflect.Pointer:
		if !value.IsNil() {
			settle(value.Elem())
		}
	case reflect.Slice, reflect.Array:
		for n := range value.Len() {
			settle(value.Index(n))
		}
	case reflect.Map:
		for each := value.MapRange(); each.Next(); {
			copied := reflect.New(value.Type().Elem()).Elem()
			copied.Set(each.Value())
			settle(copied)
			value.SetMapIndex(each.Key(), copied)
		}
	case reflect.Struct:
		for n := range value.NumField() {
			if value.Type().Field(n).IsExported() {
				settle(value.Field(n))
			}
		}
	}
}

const exact = 1 << 53

func settled(number json.Number) any {
	float, err := number.Float64()
	if err != nil || !strings.ContainsAny(number.String(), ".eE") && math.Abs(float) >= exact {
		return number
	}
	return float
}

// withDefaults adds to a JSON what its type has a default for and it leaves out, at whatever depth.
func withDefaults(text json.RawMessage, of reflect.Type) (json.RawMessage, error) {
	if !hasDefaults(of, map[reflect.Type]bool{}) || string(bytes.TrimSpace(text)) == "null" {
		return text, nil
	}
	switch of.Kind() {
	case reflect.Pointer:
		return withDefaults(text, of.Elem())
	case reflect.Slice, reflect.Array:
		var items []json.RawMessage
		if err := json.Unmarshal(text, &items); err != nil {
			return nil, err
		}
		for n := range items {
			var err error
			if items[n], err = withDefaults(items[n], of.Elem()); err != nil {
				return nil, err
			}
		}
		return json.Marshal(items)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	if of.Kind() == reflect.Map {
		for name, it := range members {
			var err error
			if members[name], err = withDefaults(it, of.Elem()); err != nil {
				return nil, err
			}
		}
		return json.Marshal(members)
	}
	if members == nil {
		members = map[string]json.RawMessage{}
	}
	for _, it := range fieldsOf(of) {
		given, found := members[it.name]
		if text, has := it.Tag.Lookup("default"); !found && has {
			given, found = it.defaultJSON(text), true
		} else if !found && it.Type.Kind() == reflect.Struct && hasDefaults(it.Type, map[reflect.Type]bool{}) {
			given, found = json.RawMessage("{}"), true
		}
		if !found {
			continue
		}
		filled, err := withDefaults(given, it.Type)
		if err != nil {
			return nil, fmt.Errorf("`%s`: %w", it.name, err)
		}
		members[it.name] = filled
	}
	return json.Marshal(members)
}

// hasDefaults tells whether a type, or a part of it, has a default.
func hasDefaults(of reflect.Type, within map[reflect.Type]bool) bool {
	if within[of] || speaksForItself(of) {
		return false
	}
	within[of] = true
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return hasDefaults(of.Elem(), within)
	case reflect.Struct:
		for _, it := range fieldsOf(of) {
			if _, has := it.Tag.Lookup("default"); has || hasDefaults(it.Type, within) {
				return true
			}
		}
	}
	return false
}

// defaultJSON reads a default: JSON, or text for a string.
func (f field) defaultJSON(text string) json.RawMessage {
	if f.Type.Kind() == reflect.String && f.Type != numberType && !f.quoted {
		quoted, _ := json.Marshal(text) // A text always becomes JSON.
		return quoted
	}
	if !json.Valid([]byte(text)) {
		panic(fmt.Sprintf("retake: the default of `%s` is no JSON: `%s`", f.Name, text))
	}
	return json.RawMessage(text)
}
