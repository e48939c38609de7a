package retake

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// As deep as a host reads: 128 levels are refused.
const deepest = 127

// unsayable is what JSON cannot say, and where.
type unsayable struct{ pointer, what string }

func (u *unsayable) Error() string {
	if u.pointer == "" {
		return u.what
	}
	return "at `" + u.pointer + "` " + u.what
}

// encode returns a value as JSON, or an *unsayable. It does as encoding/json does, but a nil slice is an empty list, a nil map
// an empty object, and nothing is lost in silence: not text that is not UTF-8, nor an error in an `any`.
func encode(value any) (text string, err error) {
	w := writer{within: map[identity]bool{}}
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case *unsayable:
			text, err = "", thrown
		default:
			panic(thrown) // A method of the author's.
		}
	}()
	if value == nil {
		return "null", nil
	}
	// A copy that has an address, so that methods of pointers count wherever the value stands.
	copied := reflect.New(reflect.TypeOf(value)).Elem()
	copied.Set(reflect.ValueOf(value))
	w.write(copied)
	return w.out.String(), nil
}

// identity tells the values apart that may hold themselves.
type identity struct {
	at     uintptr
	length int
	of     reflect.Type
}

type writer struct {
	out    bytes.Buffer
	path   []string
	within map[identity]bool
}

func (w *writer) no(format string, values ...any) {
	pointer, path, rest := "", w.path, ""
	if len(path) > deepest {
		path, rest = path[:4], "/…" // They say enough.
	}
	for _, key := range path {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
	}
	panic(&unsayable{pointer + rest, fmt.Sprintf(format, values...)})
}

func (w *writer) at(key string, write func()) {
	w.path = append(w.path, key)
	if len(w.path) > deepest {
		w.no("is more than %d levels deep", deepest)
	}
	write()
	w.path = w.path[:len(w.path)-1]
}

// inside writes what may hold itself.
func (w *writer) inside(value reflect.Value, length int, write func()) {
	it := identity{value.Pointer(), length, value.Type()}
	if it.at != 0 && w.within[it] {
		w.no("holds itself, which JSON cannot say")
	}
	w.within[it] = true
	write()
	delete(w.within, it)
}

func (w *writer) write(value reflect.Value) {
	if w.written(value) {
		return
	}
	switch value.Kind() {
	case reflect.Bool:
		w.out.WriteString(strconv.FormatBool(value.Bool()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.out.WriteString(strconv.FormatInt(value.Int(), 10))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		w.out.WriteString(strconv.FormatUint(value.Uint(), 10))
	case reflect.Float32, reflect.Float64:
		w.float(value)
	case reflect.String:
		w.string(value.String())
	case reflect.Interface:
		if value.IsNil() {
			w.out.WriteString("null")
			return
		}
		inner := reflect.New(value.Elem().Type()).Elem()
		inner.Set(value.Elem())
		w.write(inner)
	case reflect.Pointer:
		if value.IsNil() {
			w.out.WriteString("null")
			return
		}
		w.inside(value, 0, func() { w.write(value.Elem()) })
	case reflect.Slice:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			w.string(base64.StdEncoding.EncodeToString(value.Bytes()))
			return
		}
		w.inside(value, value.Len()+1, func() { w.list(value) })
	case reflect.Array:
		w.list(value)
	case reflect.Map:
		w.inside(value, 0, func() { w.object(value) })
	case reflect.Struct:
		w.fields(value)
	default:
		w.no("is of the type `%s`, which JSON cannot say", value.Type())
	}
}

// written writes what has a JSON or a text of its own making.
func (w *writer) written(value reflect.Value) bool {
	of := value.Type()
	if of == numberType {
		w.number(value.String())
		return true
	}
	if of.Kind() == reflect.Interface || of.Kind() == reflect.Pointer && value.IsNil() {
		return false
	}
	it := value
	if !of.Implements(marshaler) && !of.Implements(textMarshaler) && value.CanAddr() {
		it = value.Addr()
	}
	if !it.CanInterface() {
		return false
	}
	switch own := it.Interface().(type) {
	case json.Marshaler:
		text, err := json.Marshal(own)
		if err != nil {
			w.no("cannot become JSON: %v", err)
		}
		if !utf8.Valid(text) {
			w.no("is text that is not UTF-8, which JSON cannot say")
		}
		w.out.Write(text)
	case encoding.TextMarshaler:
		text, err := own.MarshalText()
		if err != nil {
			w.no("cannot become text: %v", err)
		}
		w.string(string(text))
	case error:
		w.no("is an error (`%v`), which JSON cannot say: return it, or take its text", own)
	default:
		return false
	}
	return true
}

func (w *writer) number(text string) {
	if text == "" {
		text = "0" // As encoding/json has it.
	}
	if !json.Valid([]byte(text)) || !strings.ContainsRune("-0123456789", rune(text[0])) {
		w.no("is `%s`, which is no number", text)
	}
	w.out.WriteString(text)
}

func (w *writer) float(value reflect.Value) {
	if it := value.Float(); math.IsNaN(it) || math.IsInf(it, 0) {
		name := map[bool]string{true: "Infinity", false: "-Infinity"}[it > 0]
		if math.IsNaN(it) {
			name = "NaN"
		}
		w.no("is %s, which JSON cannot say", name)
	}
	text, err := json.Marshal(value.Interface())
	if err != nil {
		w.no("cannot become JSON: %v", err)
	}
	w.out.Write(text)
}

func (w *writer) string(text string) {
	if !utf8.ValidString(text) {
		w.no("is text that is not UTF-8, which JSON cannot say")
	}
	encoder := json.NewEncoder(&w.out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text)        // It is UTF-8.
	w.out.Truncate(w.out.Len() - 1) // The end of line.
}

func (w *writer) list(value reflect.Value) {
	w.out.WriteByte('[')
	for n := range value.Len() {
		if n > 0 {
			w.out.WriteByte(',')
		}
		w.at(strconv.Itoa(n), func() { w.write(value.Index(n)) })
	}
	w.out.WriteByte(']')
}

func (w *writer) key(value reflect.Value) string {
	switch kind := value.Kind(); {
	case kind == reflect.String:
		return value.String()
	case value.Type().Implements(textMarshaler):
		if kind == reflect.Pointer && value.IsNil() {
			return ""
		}
		text, err := value.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			w.no("has a key that cannot become text: %v", err)
		}
		return string(text)
	case kind >= reflect.Int && kind <= reflect.Int64:
		return strconv.FormatInt(value.Int(), 10)
	case kind >= reflect.Uint && kind <= reflect.Uintptr:
		return strconv.FormatUint(value.Uint(), 10)
	case kind == reflect.Interface && !value.IsNil():
		return w.key(value.Elem())
	}
	w.no("has a key of the type `%s`, and in JSON all keys are text", value.Type())
	return ""
}

func (w *writer) object(value reflect.Value) {
	type entry struct {
		key   string
		value reflect.Value
	}
	entries := make([]entry, 0, value.Len())
	for each := value.MapRange(); each.Next(); {
		// A copy that has an address, as above.
		copied := reflect.New(value.Type().Elem()).Elem()
		copied.Set(each.Value())
		entries = append(entries, entry{w.key(each.Key()), copied})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	w.out.WriteByte('{')
	for n, it := range entries {
		if n > 0 && it.key == entries[n-1].key {
			w.no("has the key `%s` twice", it.key)
		}
		w.member(n, it.key, func() { w.write(it.value) })
	}
	w.out.WriteByte('}')
}

func (w *writer) member(n int, key string, write func()) {
	if n > 0 {
		w.out.WriteByte(',')
	}
	if !utf8.ValidString(key) {
		w.no("has a key that is not UTF-8, which JSON cannot say")
	}
	w.string(key)
	w.out.WriteByte(':')
	w.at(key, write)
}

func (w *writer) fields(value reflect.Value) {
	all := fieldsOf(value.Type())
	if len(all) == 0 && value.NumField() > 0 {
		w.no("is a `%s` without exported fields, of which JSON can say nothing", value.Type())
	}
	w.out.WriteByte('{')
	n := 0
	for _, it := range all {
		inner, found := it.find(value)
		if !found || it.omitEmpty && isEmpty(inner) || it.omitZero && isZero(inner) {
			continue
		}
		w.member(n, it.name, func() { w.field(it, inner) })
		n++
	}
	w.out.WriteByte('}')
}

func (w *writer) field(it field, value reflect.Value) {
	if !it.quoted || value.Kind() == reflect.Pointer && value.IsNil() {
		w.write(value)
		return
	}
	began := w.out.Len()
	w.write(value)
	plain := string(w.out.Bytes()[began:])
	w.out.Truncate(began)
	w.string(plain)
}

func isEmpty(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return value.Len() == 0
	case reflect.Struct:
		return false
	}
	return value.IsZero()
}

func isZero(value reflect.Value) bool {
	if value.CanInterface() {
		if it, is := value.Interface().(interface{ IsZero() bool }); is && (value.Kind() != reflect.Pointer || !value.IsNil()) {
			return it.IsZero()
		}
	}
	return value.IsZero()
}
