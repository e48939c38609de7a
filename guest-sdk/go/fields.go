package retake

import (
	"encoding"
	"encoding/json"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"
)

var (
	timeType      = reflect.TypeFor[time.Time]()
	bigType       = reflect.TypeFor[big.Int]()
	numberType    = reflect.TypeFor[json.Number]()
	rawType       = reflect.TypeFor[json.RawMessage]()
	errorType     = reflect.TypeFor[error]()
	marshaler     = reflect.TypeFor[json.Marshaler]()
	unmarshaler   = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	textReader    = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// has tells whether a type, or a pointer to it, has the methods of an interface.
func has(of, methods reflect.Type) bool {
	return of.Implements(methods) || of.Kind() != reflect.Interface && reflect.PointerTo(of).Implements(methods)
}

// speaksForItself tells whether a type has a JSON of its own making.
func speaksForItself(of reflect.Type) bool {
	return has(of, marshaler) || has(of, unmarshaler) || has(of, textMarshaler) || has(of, textReader)
}

// field is one of a struct as it stands in JSON.
type field struct {
	reflect.StructField
	name string
	// Where it is from the outermost struct on, through those that are embedded.
	index               []int
	omitEmpty, omitZero bool
	// Whether a number or a bool is written as text.
	quoted, named bool
}

// fieldsOf returns the fields that encoding/json knows of a struct: of two with one name the one that is less deep counts, then
// the one that is named by a tag, and otherwise none.
func fieldsOf(of reflect.Type) []field {
	all := collect(of, nil, map[reflect.Type]bool{})
	kept := all[:0:0]
	for n, it := range all {
		rival := func(other field) bool {
			if other.name != it.name {
				return false
			}
			if len(other.index) != len(it.index) {
				return len(other.index) < len(it.index)
			}
			return other.named == it.named || other.named
		}
		if !slices.ContainsFunc(all[:n], rival) && !slices.ContainsFunc(all[n+1:], rival) {
			kept = append(kept, it)
		}
	}
	return kept
}

func collect(of reflect.Type, at []int, within map[reflect.Type]bool) []field {
	if within[of] {
		return nil
	}
	within[of] = true
	defer delete(within, of)
	var all []field
	for n := range of.NumField() {
		it := of.Field(n)
		index := append(slices.Clone(at), n)
		tag := it.Tag.Get("json")
		inner := it.Type
		if inner.Kind() == reflect.Pointer && inner.Name() == "" {
			inner = inner.Elem()
		}
		isStruct := it.Anonymous && inner.Kind() == reflect.Struct
		if tag == "-" || !it.IsExported() && !isStruct {
			continue
		}
		name, rest, _ := strings.Cut(tag, ",")
		if isStruct && name == "" {
			all = append(all, collect(inner, index, within)...)
			continue
		}
		if !it.IsExported() {
			continue
		}
		words := strings.Split(rest, ",")
		made := field{
			StructField: it, name: name, index: index, named: name != "",
			omitEmpty: slices.Contains(words, "omitempty"), omitZero: slices.Contains(words, "omitzero"),
			quoted: slices.Contains(words, "string") && isQuotable(it.Type),
		}
		if name == "" {
			made.name = it.Name
		}
		all = append(all, made)
	}
	return all
}

func isQuotable(of reflect.Type) bool {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	return of.Kind() >= reflect.Bool && of.Kind() <= reflect.Float64 || of.Kind() == reflect.String
}

// find returns a field of a struct; false when a pointer that is embedded, and leads there, is nil.
func (f field) find(in reflect.Value) (reflect.Value, bool) {
	for n, index := range f.index {
		if n > 0 && in.Kind() == reflect.Pointer {
			if in.IsNil() {
				return in, false
			}
			in = in.Elem()
		}
		in = in.Field(index)
	}
	return in, true
}

func (f field) mayBeLeftOut() bool {
	// What is embedded by a pointer is not there when the pointer is nil.
	return f.omitEmpty || f.omitZero || f.Type.Kind() == reflect.Pointer
}
