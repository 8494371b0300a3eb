package tools

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/project"
)

type projectInfo struct {
	Name string `json:"name" jsonschema:"Name of the project, from its config."`
	ID   string `json:"id,omitempty" jsonschema:"UUID of the project, if its config has one."`
}

type setDirectoryArgs struct {
	Directory string `json:"directory"`
}

type setDirectoryResult struct {
	SessionID        string       `json:"session_id" jsonschema:"Public name of the session, as in the server's logs. It opens nothing; it is not a handle."`
	Session          string       `json:"session,omitempty" jsonschema:"Handle of the session that was created for this call. Pass it as the session argument of every later call."`
	WorkingDirectory string       `json:"working_directory" jsonschema:"The directory that was set."`
	ConfigFound      bool         `json:"config_found" jsonschema:"Whether a project config was found in the directory or above it."`
	ConfigPath       string       `json:"config_path,omitempty" jsonschema:"Path of the project config."`
	ProjectInfo      *projectInfo `json:"project_info,omitempty" jsonschema:"The project that the config names."`
	ConfigError      string       `json:"config_error,omitempty" jsonschema:"Why the project config that was found cannot be used. The directory was set all the same."`
}

type getDirectoryResult struct {
	SessionID        string `json:"session_id" jsonschema:"Public name of the session."`
	IsSet            bool   `json:"is_set" jsonschema:"Whether set_working_directory was called in this session."`
	WorkingDirectory string `json:"working_directory" jsonschema:"The working directory, empty if none was set."`
	ConfigPath       string `json:"config_path,omitempty" jsonschema:"Path of the project config found for it."`
	ProjectID        string `json:"project_id,omitempty" jsonschema:"The project that auto_switch_project chose."`
}

type noArgs struct{}

func (t *toolset) addDirectoryTools(srv *mcpserver.MCPServer) {
	add(t, srv, describe("set_working_directory", "Set working directory",
		"Sets the directory that this session works in, and looks for a project config in it and in the directories above it. "+
			"Call it first, and again when you move to another checkout; a project chosen for another directory is then forgotten. "+
			"Only this session sees it. If you have no session yet, one is created, and the result contains its handle as `session`. "+t.sessions.Lifetime(),
		writes(),
		mcp.WithString("directory", mcp.Required(), mcp.MinLength(1),
			mcp.Description("Absolute path of an existing directory, for instance /home/me/checkout."))),
		t.namedOrNone, t.setDirectory)
	add(t, srv, describe("get_working_directory", "Get working directory",
		"Answers the directory that this session works in, and the project config and project found for it.",
		reads()),
		t.sessions.Open, getDirectory)
}

func (t *toolset) setDirectory(ctx context.Context, live *mcpsession.Live, args setDirectoryArgs) (setDirectoryResult, error) {
	directory, err := t.checkDirectory(args.Directory)
	if err != nil {
		return setDirectoryResult{}, err
	}
	result := setDirectoryResult{WorkingDirectory: directory}
	if t.Finder != nil {
		found, err := t.Finder.Find(ctx, directory)
		switch {
		case err == nil:
			result.ConfigFound, result.ConfigPath = true, found.Path
			result.ProjectInfo = &projectInfo{Name: found.Config.Project.Name, ID: found.Config.Project.ID}
		case errors.Is(err, project.ErrInvalidConfig):
			result.ConfigError = err.Error()
		case !errors.Is(err, project.ErrNoConfig):
			return setDirectoryResult{}, err
		}
	}
	change := func(s *mcpsession.Session) error {
		if s.WorkingDirectory != directory {
			s.ProjectID = ""
		}
		s.WorkingDirectory, s.ConfigPath = directory, result.ConfigPath
		return nil
	}
	if live == nil {
		var fresh mcpsession.Session
		_ = change(&fresh)
		if live, err = t.sessions.Begin(ctx, fresh); err == nil {
			result.Session = live.ID().Token()
		}
	} else {
		err = live.Update(ctx, change)
	}
	if err != nil {
		return setDirectoryResult{}, err
	}
	result.SessionID = live.ID().Ref().String()
	return result, nil
}

// checkDirectory looks at the disk only where a Finder may.
func (t *toolset) checkDirectory(directory string) (string, error) {
	// What is left of an escape like \ud800, which stands for no character.
	if strings.ContainsRune(directory, utf8.RuneError) {
		return "", errors.New("the directory is not valid UTF-8")
	}
	if t.Finder == nil {
		return project.CheckPath(directory)
	}
	return t.Finder.CheckDirectory(directory)
}

func getDirectory(_ context.Context, live *mcpsession.Live, _ noArgs) (getDirectoryResult, error) {
	s := live.Session()
	return getDirectoryResult{
		SessionID:        s.Ref.String(),
		IsSet:            s.WorkingDirectory != "",
		WorkingDirectory: s.WorkingDirectory,
		ConfigPath:       s.ConfigPath,
		ProjectID:        s.ProjectID,
	}, nil
}
