package tools

import (
	"context"
	"errors"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/project"
)

var (
	errNoDirectory = errors.New("no working directory is set in this session: call set_working_directory first, with the absolute path of your checkout")
	errBlind       = errors.New("this server does not look at directories, since it is reached from other machines, whose disks it cannot see: name the project yourself, by calling auto_switch_project with project_id")
)

type findConfigResult struct {
	Found      bool          `json:"found" jsonschema:"Whether there is a project config in the working directory or above it."`
	ConfigPath string        `json:"config_path,omitempty" jsonschema:"Path of the config."`
	Config     *configResult `json:"config,omitempty" jsonschema:"What the config says."`
}

type configResult struct {
	Version     string      `json:"version" jsonschema:"Version of the config format."`
	Project     projectInfo `json:"project" jsonschema:"The project."`
	AutoSwitch  bool        `json:"auto_switch" jsonschema:"Whether auto_switch_project may follow this config by itself."`
	StrictMode  bool        `json:"strict_mode" jsonschema:"Whether any other project is refused here."`
	DryRun      bool        `json:"dry_run" jsonschema:"Whether auto_switch_project only says what it would do."`
	Description string      `json:"description,omitempty" jsonschema:"What the project is."`
	CreatedAt   string      `json:"created_at,omitempty" jsonschema:"When the config was made (RFC 3339)."`
	UpdatedAt   string      `json:"updated_at,omitempty" jsonschema:"When the config was last changed (RFC 3339)."`
}

type switchArgs struct {
	ProjectID string `json:"project_id"`
}

type switchResult struct {
	SessionID string   `json:"session_id" jsonschema:"Public name of the session."`
	ProjectID string   `json:"project_id" jsonschema:"The project that was decided on."`
	DecidedBy string   `json:"decided_by" jsonschema:"explicit (project_id), config, active (asked of another server) or default."`
	Recorded  bool     `json:"recorded" jsonschema:"Whether the session now works on it. False for a dry run."`
	DryRun    bool     `json:"dry_run" jsonschema:"True if the config asks to only say what would happen."`
	Skipped   []string `json:"skipped,omitempty" jsonschema:"Why earlier steps did not decide."`
}

func (t *toolset) addProjectTools(srv *mcpserver.MCPServer) {
	add(t, srv, describe("find_project_config", "Find project config",
		"Looks for a project config (.codebase-mcp/config.json, then .workflow-mcp/config.json, unless the server is set up otherwise) "+
			"in this session's working directory and in the directories above it, and answers its content. The nearest one counts.",
		reads()),
		t.sessions.Open, t.findConfig)
	add(t, srv, describe("auto_switch_project", "Switch project",
		"Decides which project this session works on, and records it. The first of these that applies decides: project_id; "+
			"the project config of the working directory; the active project of another MCP server, if this one is set up to ask; "+
			"the server's default project. The result says which decided.",
		writes(),
		mcp.WithString("project_id", mcp.MaxLength(255),
			mcp.Description("The project's id, or its name if its config has no id. Leave it out to follow the project config."))),
		t.sessions.Open, t.switchProject)
}

func (t *toolset) findConfig(ctx context.Context, live *mcpsession.Live, _ noArgs) (findConfigResult, error) {
	found, err := t.sessionConfig(ctx, live)
	if errors.Is(err, project.ErrNoConfig) {
		return findConfigResult{}, nil
	}
	if err != nil {
		return findConfigResult{}, err
	}
	c := found.Config
	return findConfigResult{Found: true, ConfigPath: found.Path, Config: &configResult{
		Version:     c.Version,
		Project:     projectInfo{Name: c.Project.Name, ID: c.Project.ID},
		AutoSwitch:  c.AutoSwitch,
		StrictMode:  c.StrictMode,
		DryRun:      c.DryRun,
		Description: c.Description,
		CreatedAt:   rfc3339(c.CreatedAt),
		UpdatedAt:   rfc3339(c.UpdatedAt),
	}}, nil
}

// sessionConfig finds the config of the session's working directory.
func (t *toolset) sessionConfig(ctx context.Context, live *mcpsession.Live) (project.Found, error) {
	directory := live.Session().WorkingDirectory
	switch {
	case directory == "":
		return project.Found{}, errNoDirectory
	case t.Finder == nil:
		return project.Found{}, errBlind
	}
	return t.Finder.Find(ctx, directory)
}

func (t *toolset) switchProject(ctx context.Context, live *mcpsession.Live, args switchArgs) (switchResult, error) {
	var config *project.Config
	var configPath string
	directory := live.Session().WorkingDirectory
	found, err := t.sessionConfig(ctx, live)
	switch {
	case err == nil:
		config, configPath = &found.Config, found.Path
	case !errors.Is(err, project.ErrNoConfig) && !errors.Is(err, errNoDirectory) && !errors.Is(err, errBlind):
		return switchResult{}, err
	}
	resolution, err := t.Resolver.Resolve(ctx, args.ProjectID, config)
	if resolution.ActiveErr != nil {
		t.Logger.Warn("the active project could not be asked for", "session", live.ID(), "error", resolution.ActiveErr)
	}
	if err != nil {
		return switchResult{}, err
	}
	result := switchResult{
		SessionID: live.ID().Ref().String(),
		ProjectID: resolution.ProjectID,
		DecidedBy: string(resolution.Source),
		Recorded:  !resolution.DryRun,
		DryRun:    resolution.DryRun,
		Skipped:   resolution.Skipped,
	}
	if resolution.DryRun {
		return result, nil
	}
	return result, live.Update(ctx, func(s *mcpsession.Session) error {
		if s.WorkingDirectory != directory { // another call moved it meanwhile
			return mcpsession.ErrConflict
		}
		s.ProjectID, s.ConfigPath = resolution.ProjectID, configPath
		return nil
	})
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
