package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	mcpclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/server"
)

// Three copies on one store and broker, and a client of each era on all of them.
func TestACartIsFilledByClientsOfBothErasOnThreeReplicas(t *testing.T) {
	store, err := memstore.New(mcpsession.DefaultLimits(), 10)
	if err != nil {
		t.Fatal(err)
	}
	broker := memstore.NewBroker()
	t.Cleanup(func() { store.Close(); broker.Close() })
	var urls []string
	for range 3 {
		handler, err := server.New(newCart(store), store, broker, server.Options{})
		if err != nil {
			t.Fatal(err)
		}
		listener := httptest.NewServer(handler)
		t.Cleanup(func() { listener.Close(); handler.Shutdown(context.Background()) })
		urls = append(urls, listener.URL)
	}
	call := func(version string, replica int, tool, arguments string) (string, bool) {
		t.Helper()
		c, err := mcpclient.NewStreamableHttpClient(urls[replica])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var hello mcp.InitializeRequest
		hello.Params.ProtocolVersion = version
		hello.Params.ClientInfo = mcp.Implementation{Name: "tester", Version: "1"}
		if _, err := c.Initialize(t.Context(), hello); err != nil {
			t.Fatal(err)
		}
		var request mcp.CallToolRequest
		request.Params.Name = tool
		if err := json.Unmarshal([]byte(arguments), &request.Params.Arguments); err != nil {
			t.Fatal(err)
		}
		result, err := c.CallTool(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		return result.Content[0].(mcp.TextContent).Text, result.IsError
	}
	const modern, legacy = mcp.ProtocolVersion20260728, mcp.LATEST_LEGACY_PROTOCOL_VERSION
	cart, _ := call(modern, 0, "create_cart", `{}`)
	with := func(more string) string { return fmt.Sprintf(`{"session":%q%s}`, cart, more) }
	for i, step := range []struct {
		version, tool, more, want string
	}{
		{modern, "add_item", `,"item":"pear"`, "pear"},
		{legacy, "add_item", `,"item":"apple"`, "apple, pear"},
		{modern, "checkout", ``, "bought apple, pear"},
	} {
		if got, isError := call(step.version, (i+1)%3, step.tool, with(step.more)); got != step.want || isError {
			t.Errorf("%s answers %q, want %q", step.tool, got, step.want)
		}
	}
	twice, _ := call(modern, 0, "create_cart", `{}`)
	call(modern, 1, "add_item", fmt.Sprintf(`{"session":%q,"item":"fig"}`, twice))
	var bought atomic.Int32
	var all sync.WaitGroup
	for i := range 9 {
		all.Go(func() {
			if got, isError := call(modern, i%3, "checkout", fmt.Sprintf(`{"session":%q}`, twice)); got == "bought fig" && !isError {
				bought.Add(1)
			}
		})
	}
	all.Wait()
	if n := bought.Load(); n != 1 {
		t.Errorf("a cart was bought %d times", n)
	}
	if got, isError := call(legacy, 0, "add_item", with(`,"item":"plum"`)); !isError || !strings.Contains(got, "create_cart") {
		t.Errorf("a cart that was bought is answered %q", got)
	}
	if got, isError := call(modern, 1, "add_item", `{"item":"plum"}`); !isError || !strings.Contains(got, "create_cart") {
		t.Errorf("a call without a cart is answered %q", got)
	}
}
