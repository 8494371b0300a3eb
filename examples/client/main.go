// Command client connects to the ready server, sets a working directory and
// reads it back:
//
//	go run ./examples/client http://127.0.0.1:8080/mcp "$PWD"
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: client URL DIRECTORY")
	}
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, directory string) error {
	transport, err := client.NewStreamableHttpClient(url)
	if err != nil {
		return err
	}
	c := client.NewClient(transport.GetTransport(), client.WithProtocolVersion(mcp.ProtocolVersion20251125))
	defer c.Close()
	if err := c.Start(ctx); err != nil {
		return err
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.ProtocolVersion20251125
	hello.Params.ClientInfo = mcp.Implementation{Name: "example", Version: "1.0.0"}
	if _, err := c.Initialize(ctx, hello); err != nil {
		return err
	}
	for _, call := range []mcp.CallToolParams{
		{Name: "set_working_directory", Arguments: map[string]any{"directory": directory}},
		{Name: "get_working_directory"},
	} {
		result, err := c.CallTool(ctx, mcp.CallToolRequest{Params: call})
		if err != nil {
			return fmt.Errorf("%s: %w", call.Name, err)
		}
		for _, content := range result.Content {
			if text, ok := content.(mcp.TextContent); ok {
				fmt.Println(text.Text)
			}
		}
	}
	return nil
}
