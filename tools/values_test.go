package tools_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession"
)

func TestAnyJSONValueComesBackAsItWasStored(t *testing.T) {
	e := serve(t, setup{options: validating})
	for era, p := range map[string]peer{"legacy": e.legacy(t), "modern": e.modern(t)} {
		session := ""
		if era == "modern" {
			session = `,"session":` + asJSON(p.done("create_session", `{}`).field("session"))
		}
		for what, value := range map[string]string{
			"text":                 `"hello"`,
			"empty text":           `""`,
			"text beyond ASCII":    `"żółw 🐢 \u2028 <b>&amp;</b>"`,
			"text that looks wild": `"\u0000\n\"\\"`,
			"a number":             `42`,
			"a fraction":           `-0.5`,
			"zero":                 `0`,
			"the largest safe one": `9007199254740991`,
			"true":                 `true`,
			"false":                `false`,
			"null":                 `null`,
			"a list":               `[1,"two",[],null]`,
			"an empty object":      `{}`,
			"an object":            `{"a":{"b":[{}]},"value":null,"":1}`,
			"a deeply nested list": strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
			"a text that is JSON":  `"{\"a\":1}"`,
			"a long text":          `"` + strings.Repeat("x", 1<<16) + `"`,
		} {
			t.Run(era+"/"+what, func(t *testing.T) {
				p := peer{t, p.Client}
				p.done("set_value", fmt.Sprintf(`{"key":"k","value":%s%s}`, value, session))
				p.done("get_value", fmt.Sprintf(`{"key":"k"%s}`, session)).is(fmt.Sprintf(`{"key":"k","found":true,"value":%s}`, value))
			})
		}
	}
}

func TestASecondValueReplacesTheFirst(t *testing.T) {
	p := serve(t, setup{}).legacy(t)
	for i, value := range []string{`{"a":1}`, `{"b":2}`, `null`} {
		p.done("set_value", fmt.Sprintf(`{"key":"k","value":%s}`, value)).is(fmt.Sprintf(`{"key":"k","stored":true,"revision":%d}`, i+2))
		p.done("get_value", `{"key":"k"}`).is(fmt.Sprintf(`{"key":"k","found":true,"value":%s}`, value))
	}
}

func TestKeysAreTakenLiterally(t *testing.T) {
	p := serve(t, setup{}).legacy(t)
	keys := []string{"a", "A", " a", "a.b", "a/b", "a*", "__proto__", "session", "ключ", "\n", strings.Repeat("k", 256)}
	for i, key := range keys {
		p.done("set_value", fmt.Sprintf(`{"key":%s,"value":%d}`, asJSON(key), i))
	}
	for i, key := range keys {
		p.done("get_value", fmt.Sprintf(`{"key":%s}`, asJSON(key))).
			is(fmt.Sprintf(`{"key":%s,"found":true,"value":%d}`, asJSON(key), i))
	}
}

func TestArgumentsThatDoNotFitAreExplainedAndStoreNothing(t *testing.T) {
	e := serve(t, setup{})
	p := e.legacy(t)
	for _, test := range []struct {
		tool, arguments string
		says            []string
	}{
		{"set_value", `{"key":"k"}`, []string{`"value"`, "key (required), session, value (required)"}},
		{"set_value", `{"value":1}`, []string{`"key"`, "key (required), session, value (required)"}},
		{"set_value", `{}`, []string{"key (required)"}},
		{"set_value", `null`, []string{"key (required)"}},
		{"set_value", `[]`, []string{"one JSON object"}},
		{"set_value", `"k"`, []string{"one JSON object"}},
		{"set_value", `{"key":"k","value":1,"ttl":5}`, []string{`no argument "ttl"`, "key (required), session, value (required)"}},
		{"set_value", `{"Key":"k","value":1}`, []string{`no argument "Key"`}},
		{"set_value", `{"key":"k","value":1,"Value":2}`, []string{`no argument "Value"`}},
		{"set_value", `{"key":"","value":1}`, []string{"key is empty"}},
		{"set_value", `{"key":null,"value":1}`, []string{"key is empty"}},
		{"set_value", `{"key":7,"value":1}`, []string{`"key"`, "string", "number"}},
		{"set_value", `{"key":["k"],"value":1}`, []string{`"key"`, "string", "array"}},
		{"set_value", `{"key":"k","value":1,"session":true}`, []string{`"session"`, "string", "bool"}},
		{"set_value", fmt.Sprintf(`{"key":%q,"value":1}`, strings.Repeat("k", 257)), []string{"257", "256"}},
		{"get_value", `{}`, []string{`"key"`}},
		{"get_value", `{"key":"k","value":1}`, []string{`no argument "value"`}},
		{"get_value", `{"key":""}`, []string{"key is empty"}},
		{"get_value", fmt.Sprintf(`{"key":%q}`, strings.Repeat("k", 257)), []string{"257", "256"}},
		{"delete_value", `{}`, []string{`"key"`}},
		{"delete_value", `{"key":""}`, []string{"key is empty"}},
		{"get_session", `{"key":"k"}`, []string{`no argument "key"`, "it takes session"}},
		{"set_working_directory", `{}`, []string{`"directory"`}},
		{"set_working_directory", `{"directory":7}`, []string{`"directory"`, "string", "number"}},
		{"set_working_directory", `{"path":"/checkout"}`, []string{`no argument "path"`, "directory (required)"}},
		{"auto_switch_project", `{"project_id":7}`, []string{`"project_id"`, "string", "number"}},
	} {
		text := p.refused(test.tool, test.arguments)
		for _, part := range test.says {
			if !strings.Contains(text, part) {
				t.Errorf("%s %.80s is answered %q, which does not say %q", test.tool, test.arguments, text, part)
			}
		}
	}
	if s := e.stored(t, p.ref()); s.Revision != 1 {
		t.Errorf("something was stored: %+v", s)
	}
}

func TestASessionOverItsSizeLimitIsRefusedAndStaysAsItWas(t *testing.T) {
	limits := mcpsession.DefaultLimits()
	limits.MaxSize = 4096
	e := serve(t, setup{limits: limits})
	p := e.legacy(t)
	p.done("set_value", `{"key":"small","value":"kept"}`)
	before := e.stored(t, p.ref())

	big := strings.Repeat("x", 4096)
	for _, call := range [][2]string{
		{"set_value", fmt.Sprintf(`{"key":"big","value":%q}`, big)},
		{"set_value", fmt.Sprintf(`{"key":"small","value":%q}`, big)},
		{"set_working_directory", fmt.Sprintf(`{"directory":"/%s"}`, big[:4090])},
	} {
		text := p.refused(call[0], call[1])
		for _, part := range []string{"Nothing was stored", "4096 bytes", "delete_value"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s over the limit is answered %q, which does not say %q", call[0], text, part)
			}
		}
	}
	if after := e.stored(t, p.ref()); after.Revision != before.Revision || string(after.Values["small"]) != `"kept"` {
		t.Errorf("the session was changed from %+v to %+v", before, after)
	}
	p.done("delete_value", `{"key":"small"}`)
	p.done("set_value", `{"key":"now it fits","value":1}`)
}

func TestAFullServerSaysSo(t *testing.T) {
	limits := mcpsession.DefaultLimits()
	e := serve(t, setup{store: memory(t, limits, 2), limits: limits})
	p := e.modern(t)
	first := p.done("create_session", `{}`).field("session")
	p.done("set_working_directory", `{"directory":"/a"}`)
	for _, call := range [][2]string{{"create_session", `{}`}, {"set_working_directory", `{"directory":"/b"}`}} {
		text := p.refused(call[0], call[1])
		if !strings.Contains(text, "as many sessions as it may") || !strings.Contains(text, "end_session") {
			t.Errorf("%s on a full server is answered %q", call[0], text)
		}
	}
	p.done("end_session", fmt.Sprintf(`{"session":%q}`, first))
	p.done("create_session", `{}`)
}

func TestBigNumbersComeBackUnchanged(t *testing.T) {
	p := serve(t, setup{}).legacy(t)
	for _, value := range []string{`12345678901234567890`, `9007199254740993`, `-9223372036854775808`, `0.10000000000000000555`, `1.0`, `{"id":[12345678901234567890]}`} {
		p.done("set_value", fmt.Sprintf(`{"key":"k","value":%s}`, value))
		p.done("get_value", `{"key":"k"}`).is(fmt.Sprintf(`{"key":"k","found":true,"value":%s}`, value))
	}
}

func TestAKeyThatTheSchemaAllowsIsTaken(t *testing.T) {
	serve(t, setup{options: validating}).legacy(t).done("set_value", fmt.Sprintf(`{"key":%q,"value":1}`, strings.Repeat("é", 200)))
}
