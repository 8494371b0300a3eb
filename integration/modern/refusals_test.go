package modern

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// The error codes of 2026-07-28, basic, Error Codes, and of JSON-RPC.
const (
	parseError         = -32700
	invalidRequest     = -32600
	methodNotFound     = -32601
	invalidParams      = -32602
	headerMismatch     = -32020
	missingCapability  = -32021
	unsupportedVersion = -32022
)

// inBase64 is how a header says what is not plain ASCII.
func inBase64(s string) string {
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
}

// spoilt are requests with one thing wrong, and what the specification answers.
var spoilt = []struct {
	what           string
	method, params string
	spoil          func(r *mcptest.ModernRequest)
	status, code   int
}{
	{"no version in the headers", "tools/list", "", without("Mcp-Protocol-Version"), http.StatusBadRequest, headerMismatch},
	{"another version in the headers", "tools/list", "", with("Mcp-Protocol-Version", "2099-01-01"), http.StatusBadRequest, headerMismatch},
	{"a legacy version in the headers", "tools/list", "", with("Mcp-Protocol-Version", legacy), http.StatusBadRequest, headerMismatch},
	{"a legacy version in _meta", "tools/list", "", meta(mcptest.MetaVersion, legacy), http.StatusBadRequest, headerMismatch},
	{"no method in the headers", "tools/list", "", without("Mcp-Method"), http.StatusBadRequest, headerMismatch},
	{"another method in the headers", "tools/list", "", with("Mcp-Method", "prompts/list"), http.StatusBadRequest, headerMismatch},
	{"the method in capitals", "tools/list", "", with("Mcp-Method", "TOOLS/LIST"), http.StatusBadRequest, headerMismatch},

	{"no tool in the headers", "tools/call", `{"name":"whoami"}`, without("Mcp-Name"), http.StatusBadRequest, headerMismatch},
	{"another tool in the headers", "tools/call", `{"name":"whoami"}`, with("Mcp-Name", "slow"), http.StatusBadRequest, headerMismatch},
	{"the tool in capitals", "tools/call", `{"name":"whoami"}`, with("Mcp-Name", "WHOAMI"), http.StatusBadRequest, headerMismatch},
	{"another tool in base64", "tools/call", `{"name":"whoami"}`, with("Mcp-Name", inBase64("slow")), http.StatusBadRequest, headerMismatch},
	{"a tool in broken base64", "tools/call", `{"name":"whoami"}`, with("Mcp-Name", "=?base64?%%%?="), http.StatusBadRequest, headerMismatch},
	{"no prompt in the headers", "prompts/get", `{"name":"test_simple_prompt"}`, without("Mcp-Name"), http.StatusBadRequest, headerMismatch},
	{"another prompt in the headers", "prompts/get", `{"name":"test_simple_prompt"}`, with("Mcp-Name", "other"), http.StatusBadRequest, headerMismatch},
	{"no resource in the headers", "resources/read", `{"uri":"test://static-text"}`, without("Mcp-Name"), http.StatusBadRequest, headerMismatch},
	{"another resource in the headers", "resources/read", `{"uri":"test://static-text"}`, with("Mcp-Name", "test://other"), http.StatusBadRequest, headerMismatch},

	{"no argument in the headers", "tools/call", regional(`{"region":"eu"}`), nil, http.StatusBadRequest, headerMismatch},
	{"another argument in the headers", "tools/call", regional(`{"region":"eu"}`), with("Mcp-Param-Region", "us"), http.StatusBadRequest, headerMismatch},
	{"another argument in base64", "tools/call", regional(`{"region":"eu"}`), with("Mcp-Param-Region", inBase64("us")), http.StatusBadRequest, headerMismatch},
	{"an argument in broken base64", "tools/call", regional(`{"region":"eu"}`), with("Mcp-Param-Region", "=?base64?%%%?="), http.StatusBadRequest, headerMismatch},
	{"an argument in the headers alone", "tools/call", regional(`{}`), with("Mcp-Param-Region", "eu"), http.StatusBadRequest, headerMismatch},
	{"an argument in the headers of a call without any", "tools/call", `{"name":"test_header_parameter"}`, with("Mcp-Param-Region", "eu"), http.StatusBadRequest, headerMismatch},
	{"an argument that is not plain", "tools/call", regional(`{"region":"Zürich"}`), with("Mcp-Param-Region", "Zürich"), http.StatusBadRequest, headerMismatch},
	{"a prompt that is not plain", "prompts/get", `{"name":"Zürich"}`, with("Mcp-Name", "Zürich"), http.StatusBadRequest, headerMismatch},
	{"an argument in the headers that is null", "tools/call", regional(`{"region":null}`), with("Mcp-Param-Region", "eu"), http.StatusBadRequest, headerMismatch},

	{"a version of the future", "tools/list", "", version("2099-01-01"), http.StatusBadRequest, unsupportedVersion},
	{"a version of the past", "tools/list", "", version("1900-01-01"), http.StatusBadRequest, unsupportedVersion},
	{"a version that is none", "tools/list", "", version("x"), http.StatusBadRequest, unsupportedVersion},

	{"no _meta", "tools/list", "", func(r *mcptest.ModernRequest) { delete(r.Params, "_meta") }, http.StatusBadRequest, invalidParams},
	{"no version in _meta", "tools/list", "", meta(mcptest.MetaVersion, nil), http.StatusBadRequest, invalidParams},
	{"a version that is a number", "tools/list", "", meta(mcptest.MetaVersion, 20260728), http.StatusBadRequest, invalidParams},
	{"no capabilities", "tools/list", "", meta(mcptest.MetaCapabilities, nil), http.StatusBadRequest, invalidParams},
	{"capabilities that are no object", "tools/list", "", meta(mcptest.MetaCapabilities, "all"), http.StatusBadRequest, invalidParams},
	{"a filter that is no object", "subscriptions/listen", `{"notifications":7}`, nil, http.StatusBadRequest, invalidParams},
	{"a cursor that is no text", "tools/list", `{"cursor":7}`, nil, http.StatusBadRequest, invalidParams},
	{"an unknown tool", "tools/call", `{"name":"nobody_has_it"}`, nil, http.StatusBadRequest, invalidParams},
	{"an unknown prompt", "prompts/get", `{"name":"nobody_has_it"}`, nil, http.StatusBadRequest, invalidParams},
	{"an unknown resource", "resources/read", `{"uri":"test://nobody-has-it"}`, nil, http.StatusBadRequest, invalidParams},

	{"a capability that the tool needs", "tools/call", `{"name":"test_missing_capability"}`, nil, http.StatusBadRequest, missingCapability},

	{"an unknown method", "nobody/knows", "", nil, http.StatusNotFound, methodNotFound},
	{"initialize", "initialize", `{"protocolVersion":"2026-07-28"}`, nil, http.StatusNotFound, methodNotFound},
	{"ping", "ping", "", nil, http.StatusNotFound, methodNotFound},
	{"logging/setLevel", "logging/setLevel", `{"level":"info"}`, nil, http.StatusNotFound, methodNotFound},
	{"resources/subscribe", "resources/subscribe", `{"uri":"test://static-text"}`, nil, http.StatusNotFound, methodNotFound},
	{"resources/unsubscribe", "resources/unsubscribe", `{"uri":"test://static-text"}`, nil, http.StatusNotFound, methodNotFound},
}

func with(name, value string) func(*mcptest.ModernRequest) {
	return func(r *mcptest.ModernRequest) { r.Header.Set(name, value) }
}

func without(name string) func(*mcptest.ModernRequest) {
	return func(r *mcptest.ModernRequest) { r.Header.Del(name) }
}

// meta sets a member of _meta, or removes it if value is nil.
func meta(name string, value any) func(*mcptest.ModernRequest) {
	return func(r *mcptest.ModernRequest) {
		if r.Meta()[name] = value; value == nil {
			delete(r.Meta(), name)
		}
	}
}

func version(v string) func(*mcptest.ModernRequest) {
	return func(r *mcptest.ModernRequest) {
		r.Header.Set("Mcp-Protocol-Version", v)
		r.Meta()[mcptest.MetaVersion] = v
	}
}

// regional calls a tool whose argument travels in a header, too.
func regional(arguments string) string {
	return `{"name":"test_header_parameter","arguments":` + arguments + `}`
}

func TestARequestThatBreaksARuleGetsTheErrorAndStatusOfThatRule(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		for i, test := range spoilt {
			url := f.URLs()[i%3]
			r := c.New(`"spoilt"`, test.method, test.params)
			if test.spoil != nil {
				test.spoil(r)
			}
			a := c.Send(url, r)
			m := a.Only()
			if a.Status != test.status || m.Error == nil || m.Error.Code != test.code || string(m.ID) != `"spoilt"` {
				t.Errorf("%s is answered %d: %s, want %d with error %d", test.what, a.Status, m.Raw, test.status, test.code)
				continue
			}
			switch test.code {
			case unsupportedVersion:
				var data struct {
					Supported []string
					Requested string
				}
				err := json.Unmarshal(m.Error.Data, &data)
				if err != nil || data.Requested != r.Header.Get("Mcp-Protocol-Version") || !slices.Contains(data.Supported, "2026-07-28") || !slices.Contains(data.Supported, legacy) {
					t.Errorf("%s: the error says of versions %s", test.what, m.Error.Data)
				}
			case missingCapability:
				if got := string(m.Error.Data); got != `{"requiredCapabilities":{"sampling":{}}}` {
					t.Errorf("%s: the error says of capabilities %s", test.what, got)
				}
			}
		}
	})
}

func TestWhatIsNoRequestIsRefused(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		good := c.New("1", "tools/list", "")
		params, err := json.Marshal(good.Params)
		if err != nil {
			t.Fatal(err)
		}
		request := mcptest.RequestText("1", "tools/list", string(params))
		for i, test := range []struct {
			what, body string
			code       int
		}{
			{"what is no JSON", request[1:], parseError},
			{"a batch", "[" + request + "]", invalidRequest},
			{"no message", `{}`, invalidRequest},
			{"an id alone", `{"jsonrpc":"2.0","id":1}`, invalidRequest},
			{"a response", `{"jsonrpc":"2.0","id":1,"result":{}}`, invalidRequest},
			{"JSON-RPC 1.0", strings.Replace(request, `"2.0"`, `"1.0"`, 1), invalidRequest},
		} {
			a, err := c.TryPost(t.Context(), f.URLs()[i%3], good.Header, test.body)
			if err != nil {
				t.Fatal(err)
			}
			if m := a.Only(); a.Status != http.StatusBadRequest || m.Error == nil || m.Error.Code != test.code {
				t.Errorf("%s is answered %d: %s", test.what, a.Status, m.Raw)
			}
		}
	})
}

func TestARequestMaySayItsNamesInBase64AndItsHeadersInAnyCase(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		for i, test := range []struct {
			what, params string
			change       func(r *mcptest.ModernRequest)
			answer       string
		}{
			{"in base64", `{"name":"slow","arguments":{"ms":1}}`, with("Mcp-Name", inBase64("slow")), "done "},
			{"in lower case", `{"name":"slow","arguments":{"ms":1}}`, func(r *mcptest.ModernRequest) {
				for name, values := range r.Header {
					delete(r.Header, name)
					r.Header[strings.ToLower(name)] = values
				}
			}, "done "},
			{"with an argument", regional(`{"region":"eu"}`), with("Mcp-Param-Region", "eu"), "eu"},
			{"with an argument in base64", regional(`{"region":"Zürich "}`), with("Mcp-Param-Region", inBase64("Zürich ")), "Zürich "},
			{"with an argument that looks like base64", regional(`{"region":"=?base64?x?="}`), with("Mcp-Param-Region", inBase64("=?base64?x?=")), "=?base64?x?="},
			{"without the argument", regional(`{}`), nil, ""},
			{"with the argument null", regional(`{"region":null}`), nil, ""},
		} {
			r := c.New("1", "tools/call", test.params)
			if test.change != nil {
				test.change(r)
			}
			a := c.Send(f.URLs()[i%3], r)
			if m := a.Only(); a.Status != http.StatusOK || m.Error != nil || !strings.HasPrefix(m.Text(t), test.answer) {
				t.Errorf("a call %s is answered %d: %s", test.what, a.Status, m.Raw)
			}
		}
		c = mcptest.NewModern(t)
		c.Capabilities = `{"sampling":{}}`
		if got := c.Call(f.B, "test_missing_capability", "{}"); got != "Success" {
			t.Errorf("with the capability that the tool needs, it answers %q", got)
		}
	})
}
