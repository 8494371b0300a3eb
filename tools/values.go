package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
)

// maxKey bounds the length of a key, in characters, as JSON Schema counts.
const maxKey = 256

type keyArgs struct {
	Key string `json:"key"`
}

type setValueArgs struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

type setValueResult struct {
	Key      string `json:"key" jsonschema:"The key."`
	Stored   bool   `json:"stored" jsonschema:"True: the value is stored."`
	Revision uint64 `json:"revision" jsonschema:"Number of changes to the session so far."`
}

type getValueResult struct {
	Key   string `json:"key" jsonschema:"The key."`
	Found bool   `json:"found" jsonschema:"Whether there is a value under the key."`
	Value any    `json:"value,omitempty" jsonschema:"The value, as it was stored."`
}

type deleteValueResult struct {
	Key     string `json:"key" jsonschema:"The key."`
	Deleted bool   `json:"deleted" jsonschema:"Whether there was a value."`
}

func (t *toolset) addValueTools(srv *mcpserver.MCPServer) {
	key := mcp.WithString("key", mcp.Required(), mcp.MinLength(1), mcp.MaxLength(maxKey),
		mcp.Description("Name of the value within this session."))
	add(t, srv, describe("set_value", "Set value",
		"Stores any JSON value under a key of this session, in place of what was there. Other sessions have keys of their own. "+
			"The value lives as long as the session.",
		writes(), key,
		mcp.WithAny("value", mcp.Required(), mcp.Description("Any JSON value: text, number, boolean, null, list or object."))),
		t.sessions.Open, setValue)
	add(t, srv, describe("get_value", "Get value",
		"Answers the value that set_value stored under a key of this session.",
		reads(), key),
		t.sessions.Open, getValue)
	add(t, srv, describe("delete_value", "Delete value",
		"Removes the value under a key of this session.",
		destroys(), key),
		t.sessions.Open, deleteValue)
}

func checkKey(key string) error {
	switch {
	case key == "":
		return errors.New("the key is empty: name the value, for instance \"plan\"")
	case utf8.RuneCountInString(key) > maxKey:
		return fmt.Errorf("the key has %d characters, and %d are allowed: choose a shorter one", utf8.RuneCountInString(key), maxKey)
	}
	return nil
}

func setValue(ctx context.Context, live *mcpsession.Live, args setValueArgs) (setValueResult, error) {
	if err := checkKey(args.Key); err != nil {
		return setValueResult{}, err
	}
	if args.Value == nil {
		return setValueResult{}, errors.New("the value is missing: pass any JSON value as `value`; to remove one, call delete_value")
	}
	if err := live.Set(ctx, args.Key, args.Value); err != nil {
		return setValueResult{}, err
	}
	return setValueResult{Key: args.Key, Stored: true, Revision: live.Session().Revision}, nil
}

func getValue(_ context.Context, live *mcpsession.Live, args keyArgs) (getValueResult, error) {
	if err := checkKey(args.Key); err != nil {
		return getValueResult{}, err
	}
	value, found, err := mcpsession.Get[json.RawMessage](live, args.Key)
	if err != nil || !found {
		return getValueResult{Key: args.Key}, err
	}
	return getValueResult{Key: args.Key, Found: true, Value: value}, nil
}

func deleteValue(ctx context.Context, live *mcpsession.Live, args keyArgs) (deleteValueResult, error) {
	if err := checkKey(args.Key); err != nil {
		return deleteValueResult{}, err
	}
	deleted := false
	err := live.Update(ctx, func(s *mcpsession.Session) error {
		_, deleted = s.Values[args.Key]
		delete(s.Values, args.Key)
		return nil
	})
	return deleteValueResult{Key: args.Key, Deleted: deleted}, err
}
