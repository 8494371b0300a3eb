package tools

import (
	"context"
	"maps"
	"slices"
	"time"

	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
)

type createResult struct {
	Session            string    `json:"session" jsonschema:"Handle of the new session. It is a secret: pass it as the session argument of later calls, and show it to nobody who should not use the session."`
	SessionID          string    `json:"session_id" jsonschema:"Public name of the session, as in the server's logs. It opens nothing."`
	IdleTimeoutSeconds float64   `json:"idle_timeout_seconds" jsonschema:"The session ends when it is unused for this long."`
	ExpiresAt          time.Time `json:"expires_at" jsonschema:"The session ends at this time at the latest."`
}

type sessionResult struct {
	SessionID        string    `json:"session_id" jsonschema:"Public name of the session, as in the server's logs. It opens nothing; it is not a handle."`
	Owner            string    `json:"owner,omitempty" jsonschema:"Who created the session, where callers are known."`
	WorkingDirectory string    `json:"working_directory,omitempty" jsonschema:"Working directory, if one was set."`
	ConfigPath       string    `json:"config_path,omitempty" jsonschema:"Path of the project config found for it."`
	ProjectID        string    `json:"project_id,omitempty" jsonschema:"The project that auto_switch_project chose."`
	ClientName       string    `json:"client_name,omitempty" jsonschema:"Name of the client that created the session."`
	ClientVersion    string    `json:"client_version,omitempty" jsonschema:"Version of that client."`
	ProtocolVersion  string    `json:"protocol_version,omitempty" jsonschema:"Protocol version that the client speaks."`
	ValueKeys        []string  `json:"value_keys" jsonschema:"Keys that get_value knows."`
	CreatedAt        time.Time `json:"created_at" jsonschema:"When the session began."`
	LastUsedAt       time.Time `json:"last_used_at" jsonschema:"When it was last used: by this call."`
	IdleExpiresAt    time.Time `json:"idle_expires_at" jsonschema:"When it ends if it is not used again."`
	ExpiresAt        time.Time `json:"expires_at" jsonschema:"When it ends however busy it is."`
	Revision         uint64    `json:"revision" jsonschema:"Number of changes so far, its creation included."`
}

type countResult struct {
	Count int `json:"count" jsonschema:"Number of live sessions on this server, over all its replicas."`
}

type endResult struct {
	SessionID string `json:"session_id" jsonschema:"Public name of the session that ended."`
	Ended     bool   `json:"ended" jsonschema:"True: the session and all it held are gone."`
}

type shareResult struct {
	Session   string    `json:"session" jsonschema:"Handle of this session, the same one each time. It is a secret: whoever has it can use the session."`
	SessionID string    `json:"session_id" jsonschema:"Public name of the session. It opens nothing."`
	ExpiresAt time.Time `json:"expires_at" jsonschema:"The session ends at this time at the latest."`
}

// createSession is the tool that the others' errors point to.
const createSession = "create_session"

func (t *toolset) addSessionTools(srv *mcpserver.MCPServer) {
	add(t, srv, describe(createSession, "Create session",
		"Creates a new, empty session and answers its handle as `session`. Pass the handle as the `session` argument of other tools. "+t.sessions.Lifetime()+
			" A client with an MCP session of its own needs this only for a second, separate one.",
		creates()),
		t.namedOrNone, t.create)
	add(t, srv, describe("get_session", "Get session",
		"Answers what the server knows of this session: working directory, project, client, stored keys and when it ends.",
		reads()),
		t.sessions.Open, getSession)
	add(t, srv, describe("share_session", "Share session",
		"Answers a handle of this session, for another client to use it too: it passes the handle as its `session` argument. "+t.sessions.Lifetime(),
		writes()),
		t.sessions.Open, share)
	add(t, srv, describe("count_sessions", "Count sessions",
		"Answers how many sessions are alive on this server. It tells nothing about what they hold.",
		reads()),
		t.sessions.Open, t.countSessions)
	add(t, srv, describe("end_session", "End session",
		"Ends this session at once: its working directory, project and values are gone on every replica, and its handle opens nothing any more. "+
			"Call it when the work is done. Sessions also end by themselves. If you call it without `session`, your client's own MCP session ends and it has to reconnect.",
		destroys()),
		t.sessions.Open, t.endSession)
}

func (t *toolset) create(ctx context.Context, _ *mcpsession.Live, _ noArgs) (createResult, error) {
	live, err := t.sessions.Begin(ctx, mcpsession.Session{})
	if err != nil {
		return createResult{}, err
	}
	s := live.Session()
	return createResult{
		Session:            live.ID().Token(),
		SessionID:          s.Ref.String(),
		IdleTimeoutSeconds: s.IdleTimeout.Seconds(),
		ExpiresAt:          s.ExpiresAt.Round(0),
	}, nil
}

func getSession(_ context.Context, live *mcpsession.Live, _ noArgs) (sessionResult, error) {
	s := live.Session()
	keys := slices.AppendSeq([]string{}, maps.Keys(s.Values))
	slices.Sort(keys)
	return sessionResult{
		SessionID:        s.Ref.String(),
		Owner:            s.Owner,
		WorkingDirectory: s.WorkingDirectory,
		ConfigPath:       s.ConfigPath,
		ProjectID:        s.ProjectID,
		ClientName:       s.Client.Name,
		ClientVersion:    s.Client.Version,
		ProtocolVersion:  s.Client.ProtocolVersion,
		ValueKeys:        keys,
		CreatedAt:        s.CreatedAt,
		LastUsedAt:       s.LastUsedAt,
		IdleExpiresAt:    s.IdleExpiresAt(),
		ExpiresAt:        s.ExpiresAt,
		Revision:         s.Revision,
	}, nil
}

func share(ctx context.Context, live *mcpsession.Live, _ noArgs) (shareResult, error) {
	id, err := live.Share(ctx)
	if err != nil {
		return shareResult{}, err
	}
	return shareResult{Session: id.Token(), SessionID: id.Ref().String(), ExpiresAt: live.Session().ExpiresAt.Round(0)}, nil
}

func (t *toolset) countSessions(ctx context.Context, _ *mcpsession.Live, _ noArgs) (countResult, error) {
	n, err := t.Store.Count(ctx)
	return countResult{Count: n}, err
}

func (t *toolset) endSession(ctx context.Context, live *mcpsession.Live, _ noArgs) (endResult, error) {
	if err := live.End(ctx); err != nil {
		return endResult{}, err
	}
	t.Logger.Info("session ended by a tool call", "session", live.ID())
	return endResult{SessionID: live.ID().Ref().String(), Ended: true}, nil
}
