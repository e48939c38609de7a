package retake

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"
)

type base struct {
	ID   int    `json:"id"`
	Same string `json:"same"`
}

type inner struct {
	Deep int `json:"deep,omitempty" default:"3"`
}

type full struct {
	*base
	inner
	Same   string                      `json:"same"`
	Rows   []float64                   `json:"rows"`
	Counts map[string][]int            `json:"counts"`
	Bytes  []byte                      `json:"bytes"`
	When   time.Time                   `json:"when"`
	Wait   time.Duration               `json:"wait"`
	Big    *big.Int                    `json:"big"`
	Quoted int64                       `json:"quoted,string"`
	Left   string                      `json:"left,omitempty"`
	Hidden int                         `json:"-"`
	Any    any                         `json:"any"`
	Raw    json.RawMessage             `json:"raw"`
	Number json.Number                 `json:"number"`
	Keys   map[int]bool                `json:"keys"`
	Pair   [2]*int                     `json:"pair"`
	Zero   time.Time                   `json:"zero,omitzero"`
	Nested map[string]map[string][]int `json:"nested"`
}

// What encoding/json says, unless it is what we do better.
func TestEncodesAsTheStandardLibrary(t *testing.T) {
	one := 1
	for _, it := range []any{
		nil, true, -5, uint8(7), 1.5, 1e300, 1e-9, float32(0.1), "a<b>&\u2028\"\n", []int{1, 2}, [2]bool{true}, map[string]int{"b": 1, "a": 2},
		map[int]string{10: "x", 9: "y"}, &one, struct{}{}, time.Unix(0, 0).UTC(), big.NewInt(5), json.RawMessage(`{"a":[1]}`), []byte("abc"),
		struct {
			A any `json:"a,omitempty"`
			B *int
		}{},
		full{
			base: &base{ID: 1, Same: "under"}, Same: "over", Rows: []float64{1}, Counts: map[string][]int{"a": {1}}, Bytes: []byte{1},
			Big: big.NewInt(3), Raw: json.RawMessage("1"), Number: "2.50", Keys: map[int]bool{1: true}, Any: []any{1, "x"},
			Nested: map[string]map[string][]int{},
		},
		full{
			Rows: []float64{}, Counts: map[string][]int{}, Bytes: []byte{}, Keys: map[int]bool{}, Nested: map[string]map[string][]int{}, Raw: json.RawMessage("null"),
		},
	} {
		var standard strings.Builder
		encoder := json.NewEncoder(&standard)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(it); err != nil {
			t.Fatal(err)
		}
		if text, err := encode(it); err != nil || text+"\n" != standard.String() {
			t.Errorf("%#v:\n%s%s %v", it, standard.String(), text, err)
		}
	}
}

func TestNilListsAndMapsAreEmpty(t *testing.T) {
	type rows struct {
		List []int          `json:"list"`
		Map  map[string]int `json:"map"`
		Text []byte         `json:"text"`
		Any  any            `json:"any"`
	}
	for given, expected := range map[any]string{
		&rows{Any: []string(nil)}: `{"list":[],"map":{},"text":"","any":[]}`, &[]rows{{}}: `[{"list":[],"map":{},"text":"","any":null}]`,
	} {
		if text, err := encode(given); text != expected {
			t.Errorf("%s %v", text, err)
		}
	}
	if text, _ := encode([][]int{nil}); text != "[[]]" {
		t.Error(text)
	}
}

type ring struct {
	Next *ring `json:"next"`
}

type secretive struct{ hidden int }

func TestWhatCannotBeSaidIsToldWithItsPlace(t *testing.T) {
	circle := &ring{}
	circle.Next = circle
	itself := map[string]any{}
	itself["me"] = itself
	list := []any{nil}
	list[0] = list
	deep := any(1)
	for range 200 {
		deep = []any{deep}
	}
	for _, it := range []struct {
		given any
		words string
	}{
		{math.NaN(), "is NaN, which JSON cannot say"},
		{map[string]any{"rows": []float64{1.5, math.NaN()}}, "at `/rows/1` is NaN"},
		{math.Inf(1), "is Infinity"}, {math.Inf(-1), "is -Infinity"}, {float32(math.Inf(1)), "is Infinity"},
		{[]any{make(chan int)}, "at `/0` is of the type `chan int`"}, {map[string]any{"a/b~": func() {}}, "at `/a~1b~0` is of the type `func()`"},
		{complex(1, 2), "complex128"}, {map[[1]int]int{{1}: 1}, "in JSON all keys are text"}, {map[any]int{1.5: 1}, "all keys are text"}, {map[any]int{1: 1, "1": 2}, "key `1` twice"},
		{circle, "holds itself"}, {itself, "at `/me` holds itself"}, {list, "at `/0` holds itself"}, {deep, "levels deep"},
		{"a\xff", "not UTF-8"}, {[]string{"\xc3"}, "at `/0` is text that is not UTF-8"}, {map[string]int{"\xff": 1}, "a key that is not UTF-8"},
		{map[string]any{"e": errors.New("boom")}, "at `/e` is an error (`boom`)"}, {[]any{secretive{1}}, "at `/0` is a `retake.secretive` without exported fields"},
		{json.Number("x"), "is no number"}, {json.RawMessage("{"), "cannot become JSON"}, {time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "cannot become JSON"},
	} {
		if text, err := encode(it.given); err == nil || !strings.Contains(err.Error(), it.words) {
			t.Errorf("%s: %s %v", it.words, text, err)
		}
	}
	// What is there twice does not hold itself.
	shared := &base{ID: 1}
	if text, err := encode([]any{shared, shared, list[:0]}); err != nil {
		t.Error(text, err)
	}
}

func TestWholeNumbersAreExactInAny(t *testing.T) {
	var read any
	text := `{"big":9007199254740993,"huge":-123456789012345678901234567890,"list":[1,2.5,{"n":9007199254740993}],"text":"9007199254740993","f":0.12345678901234567}`
	if err := decode(text, &read); err != nil {
		t.Fatal(err)
	}
	object := read.(map[string]any)
	if object["big"] != json.Number("9007199254740993") || object["list"].([]any)[0] != 1.0 || object["f"] != 0.12345678901234567 {
		t.Errorf("%#v", read)
	}
	again, err := encode(read)
	if err != nil || !strings.Contains(again, `"huge":-123456789012345678901234567890`) || !strings.Contains(again, `{"n":9007199254740993}`) {
		t.Error(again, err)
	}
	var typed struct {
		Any map[string]any `json:"any"`
		N   json.Number    `json:"n"`
	}
	if err := decode(`{"any":{"a":9007199254740993,"b":2},"n":9007199254740993}`, &typed); err != nil || typed.Any["b"] != 2.0 || typed.N != "9007199254740993" {
		t.Errorf("%#v %v", typed, err)
	}
}

type settings struct {
	Depth int            `json:"depth" default:"3"`
	Names map[string]int `json:"names" default:"{\"a\":1,\"b\":2}"`
	List  []int          `json:"list" default:"[1,2,3]"`
	Mode  string         `json:"mode" default:"fast"`
}

type given struct {
	Limit   int                 `json:"limit" default:"10"`
	Options settings            `json:"options,omitzero"`
	Whole   settings            `json:"whole" default:"{\"depth\":7}"`
	Each    []settings          `json:"each"`
	Perhaps *settings           `json:"perhaps"`
	Named   map[string]settings `json:"named,omitempty"`
	Day     Maybe[string]       `json:"day,omitzero"`
}

func TestDefaultsAreFilledInAndReplaced(t *testing.T) {
	var it given
	if err := decode(`{"each":[{"names":{"b":5},"list":[9]},{}],"named":{"x":{"depth":1}}}`, &it); err != nil {
		t.Fatal(err)
	}
	if it.Limit != 10 || it.Options.Depth != 3 || it.Options.Mode != "fast" || it.Whole.Depth != 7 || len(it.Whole.List) != 3 || it.Perhaps != nil {
		t.Errorf("%+v", it)
	}
	if fmt.Sprint(it.Each[0].Names, it.Each[0].List, it.Each[1].Names, it.Named["x"].Depth) != "map[b:5] [9] map[a:1 b:2] 1" {
		t.Errorf("%+v", it)
	}
	if err := decode(`{"each":[],"limit":1,"perhaps":{}}`, &it); err != nil || it.Limit != 1 || it.Perhaps.Depth != 3 {
		t.Errorf("%+v %v", it, err)
	}
	if err := decode(`{"each":[{"depht":1}]}`, &it); err == nil {
		t.Error("what is not known is refused")
	}
	schema := schemaOf("it", reflect.TypeFor[given]())
	if fmt.Sprint(schema["required"]) != "[each]" {
		t.Error(schema["required"])
	}
}

func TestNullAndUnsetAreToldApart(t *testing.T) {
	for text, expected := range map[string]string{`{}`: "false -", `{"day":null}`: "true -", `{"day":"x"}`: "true x"} {
		var it struct {
			Day Maybe[string] `json:"day,omitzero"`
		}
		if err := decode(text, &it); err != nil {
			t.Fatal(err)
		}
		value := "-"
		if it.Day.Value != nil {
			value = *it.Day.Value
		}
		if said := fmt.Sprint(it.Day.Given, " ", value); said != expected {
			t.Error(text, said)
		}
		if again, err := encode(it); again != text {
			t.Error(text, again, err)
		}
	}
}

func TestSchemasSayWhatFits(t *testing.T) {
	type tree struct {
		Children []tree          `json:"children"`
		Same     map[string]tree `json:"same"`
	}
	schema := func(of reflect.Type) string { text, _ := json.Marshal(schemaOf("it", of)); return string(text) }
	for of, words := range map[reflect.Type]string{
		reflect.TypeFor[int8]():            `{"maximum":127,"minimum":-128,"type":"integer"}`,
		reflect.TypeFor[uint32]():          `{"maximum":4294967295,"minimum":0,"type":"integer"}`,
		reflect.TypeFor[int]():             `{"maximum":9223372036854775807,"minimum":-9223372036854775808,"type":"integer"}`,
		reflect.TypeFor[[]string]():        `{"items":{"type":"string"},"type":"array"}`,
		reflect.TypeFor[*big.Int]():        `{"anyOf":[{"type":"integer"},{"type":"null"}]}`,
		reflect.TypeFor[map[uint]any]():    `{"additionalProperties":{},"propertyNames":{"pattern":"^\\d+$"},"type":"object"}`,
		reflect.TypeFor[tree]():            `"items":{"type":"object"}`,
		reflect.TypeFor[full]():            `"required":["deep"`,
		reflect.TypeFor[Maybe[int8]]():     `{"anyOf":[{"maximum":127`,
		reflect.TypeFor[struct{ *base }](): `"properties":{"id":`,
	} {
		if text := schema(of); !strings.Contains(text, words) && words != `"required":["deep"` {
			t.Errorf("%s: %s", of, text)
		}
	}
	for of, words := range map[reflect.Type]string{
		reflect.TypeFor[chan int]():                            "retake: it is of the type `chan int`",
		reflect.TypeFor[secretive]():                           "without exported fields",
		reflect.TypeFor[map[[2]int]int]():                      "all keys are text",
		reflect.TypeFor[struct{ Rows []struct{ F func() } }](): "retake: it.Rows.[].F is of the type `func()`",
	} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, words) {
					t.Errorf("%s: %s", of, said)
				}
			}()
			schema(of)
		}()
	}
}

type quiet struct{}

func (*quiet) Error() string { panic("no words") }

func TestErrorsAreFailures(t *testing.T) {
	if it := failureOf(fmt.Errorf("while reading: %w", &Failure{Code: "http.503", Message: "away"})); it.Code != "http.503" || it.Message != "while reading: http.503: away" {
		t.Errorf("%+v", it)
	}
	if it := failureOf(&quiet{}); it.Code != "quiet" || !strings.Contains(it.Message, "no words") {
		t.Errorf("%+v", it)
	}
	text, ok := (&Failure{Details: map[string]any{"n": math.NaN()}}).detailsJSON()
	if !ok || !strings.Contains(text, "NaN") {
		t.Error(text)
	}
}
