package requeststate_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/requeststate"
)

// A tool that asks before it acts, and acts once.
func Example() {
	broker := memstore.NewBroker() // or redisstore's, which all replicas share
	defer broker.Close()
	states, err := requeststate.New(broker, requeststate.Options{})
	if err != nil {
		panic(err)
	}
	deploy := func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		var plan struct{ Version string }
		answered, err := states.OpenOnce(ctx, request, &plan)
		if err != nil {
			return nil, err
		}
		if answered {
			answer := mcpserver.ElicitationResponse(request.Params.InputResponses, "sure")
			if answer == nil || answer.Action != mcp.ElicitationResponseActionAccept {
				return mcp.NewToolResultText("nothing was deployed"), nil
			}
			return mcp.NewToolResultText("deployed " + plan.Version), nil
		}
		plan.Version = "v7" // the newest, when the user was asked
		state, err := states.Seal(ctx, request, plan)
		if err != nil {
			return nil, err
		}
		question := mcp.ElicitationParams{Message: "Deploy " + plan.Version + "?", RequestedSchema: map[string]any{"type": "object"}}
		return mcpserver.NewInputRequestBuilder(state).Elicit("sure", question).ToolResult(), nil
	}

	// What a client does, by way of any replica.
	ctx := context.Background()
	var request mcp.CallToolRequest
	request.Params.Name = "deploy"
	result, err := deploy(ctx, request)
	fmt.Println(result.ResultType, err)

	request.Params.RequestState = result.RequestState
	request.Params.InputResponses = mcp.InputResponses{
		"sure": mcp.NewElicitationInputResponse(mcp.ElicitationResult{ElicitationResponse: mcp.ElicitationResponse{Action: mcp.ElicitationResponseActionAccept}}),
	}
	result, err = deploy(ctx, request)
	fmt.Println(result.Content[0].(mcp.TextContent).Text, err)

	_, err = deploy(ctx, request) // again
	fmt.Println(errors.Is(err, requeststate.ErrRefused))
	// Output:
	// input_required <nil>
	// deployed v7 <nil>
	// true
}
