package tools_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession/project"
)

const (
	apollo = `{"version":"1.0","project":{"name":"apollo"}}`
	strict = `{"version":"1.0","project":{"name":"apollo"},"strict_mode":true}`
	manual = `{"version":"1.0","project":{"name":"apollo"},"auto_switch":false}`
	dryRun = `{"version":"1.0","project":{"name":"apollo"},"dry_run":true}`
)

// active is another server's active project, or why it cannot be asked.
func active(id string, err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return id, err }
}

func TestTheFirstStepThatAppliesDecidesTheProject(t *testing.T) {
	for what, test := range map[string]struct {
		config   string
		resolver project.Resolver
		given    string

		project, decidedBy string
		skipped            []string // how each begins
	}{
		"a given id wins over all": {
			config: apollo, resolver: project.Resolver{Active: active("gemini", nil), Default: "main"}, given: "mercury",
			project: "mercury", decidedBy: "explicit",
		},
		"then the config": {
			config: apollo, resolver: project.Resolver{Active: active("gemini", nil), Default: "main"},
			project: "apollo", decidedBy: "config", skipped: []string{"explicit:"},
		},
		"then the active project": {
			resolver: project.Resolver{Active: active("gemini", nil), Default: "main"},
			project:  "gemini", decidedBy: "active", skipped: []string{"explicit:", "config: the session has no"},
		},
		"then the default": {
			resolver: project.Resolver{Active: active("", nil), Default: "main"},
			project:  "main", decidedBy: "default", skipped: []string{"explicit:", "config:", "active: the server asked has no active project"},
		},
		"a config that asks for it is passed over": {
			config: manual, resolver: project.Resolver{Default: "main"},
			project: "main", decidedBy: "default", skipped: []string{"explicit:", "config: auto_switch is false", "active:"},
		},
		"a server that fails is passed over": {
			resolver: project.Resolver{Active: active("", errors.New("dial 10.0.0.7: refused")), Default: "main"},
			project:  "main", decidedBy: "default", skipped: []string{"explicit:", "config:", "active: the active project could not be learned"},
		},
		"strict mode allows its own project": {
			config: strict, given: "apollo", project: "apollo", decidedBy: "explicit",
		},
		"a UUID is told in lower case": {
			given: "123E4567-E89B-12D3-A456-426614174000", project: "123e4567-e89b-12d3-a456-426614174000", decidedBy: "explicit",
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := checkout(t, test.config)
			e := serve(t, setup{finder: finder(t, dir), resolver: &test.resolver, options: validating})
			p := e.legacy(t)
			p.done("set_working_directory", fmt.Sprintf(`{"directory":%q}`, dir))
			got := p.done("auto_switch_project", fmt.Sprintf(`{"project_id":%q}`, test.given))
			if got.field("project_id") != test.project || got.field("decided_by") != test.decidedBy {
				t.Errorf("decided %s, want %s by %s", got.structured, test.project, test.decidedBy)
			}
			if n := strings.Count(string(got.structured), `: `); n != len(test.skipped) {
				t.Errorf("%d steps are skipped in %s, want %q", n, got.structured, test.skipped)
			}
			for _, skipped := range test.skipped {
				if !strings.Contains(string(got.structured), `"`+skipped) {
					t.Errorf("%s does not say that it skipped %q", got.structured, skipped)
				}
			}
			if strings.Contains(got.text, "10.0.0.7") {
				t.Errorf("a client is told an address: %s", got.text)
			}
			if s := e.stored(t, p.ref()); s.ProjectID != test.project {
				t.Errorf("the session works on %q, want %q", s.ProjectID, test.project)
			}
		})
	}
}

func TestADryRunRecordsNothing(t *testing.T) {
	dir := checkout(t, dryRun)
	e := serve(t, setup{finder: finder(t), options: validating})
	p := e.legacy(t)
	p.done("set_working_directory", fmt.Sprintf(`{"directory":%q}`, dir))
	p.done("auto_switch_project", `{}`).is(fmt.Sprintf(`{"session_id":%q,"project_id":"apollo","decided_by":"config",
		"recorded":false,"dry_run":true,"skipped":["explicit: no project id was given"]}`, p.ref()))
	p.done("auto_switch_project", `{"project_id":"mercury"}`).is(fmt.Sprintf(`{"session_id":%q,"project_id":"mercury",
		"decided_by":"explicit","recorded":false,"dry_run":true}`, p.ref()))
	if s := e.stored(t, p.ref()); s.ProjectID != "" || s.Revision != 2 {
		t.Errorf("a dry run left %+v", s)
	}
}

func TestAProjectThatCannotBeDecidedIsExplainedAndChangesNothing(t *testing.T) {
	for what, test := range map[string]struct {
		config   string
		resolver project.Resolver
		given    string
		says     []string
	}{
		"strict mode refuses a given id": {
			config: strict, given: "mercury", says: []string{"project mismatch", `"mercury" (explicit)`, `"apollo"`, "strict_mode"},
		},
		"strict mode refuses the default": {
			config:   `{"version":"1.0","project":{"name":"apollo"},"auto_switch":false,"strict_mode":true}`,
			resolver: project.Resolver{Default: "main"}, says: []string{"project mismatch", `"main" (default)`, `"apollo"`},
		},
		"no step decides": {
			says: []string{"no project", "explicit: ", "config: ", "active: ", "default: ", "give a project id"},
		},
		"the id is too long":      {given: strings.Repeat("x", 256), says: []string{"256", "at most 255"}},
		"the id has a line break": {given: "a\nb", says: []string{"control character"}},
	} {
		t.Run(what, func(t *testing.T) {
			dir := checkout(t, test.config)
			e := serve(t, setup{finder: finder(t), resolver: &test.resolver})
			p := e.legacy(t)
			p.done("set_working_directory", fmt.Sprintf(`{"directory":%q}`, dir))
			text := p.refused("auto_switch_project", fmt.Sprintf(`{"project_id":%q}`, test.given))
			for _, part := range test.says {
				if !strings.Contains(text, part) {
					t.Errorf("the answer %q does not say %q", text, part)
				}
			}
			if s := e.stored(t, p.ref()); s.ProjectID != "" || s.Revision != 2 {
				t.Errorf("the session was changed to %+v", s)
			}
		})
	}
}

func TestWithoutADirectoryAProjectCanStillBeNamed(t *testing.T) {
	e := serve(t, setup{finder: finder(t), resolver: &project.Resolver{Default: "main"}})
	p := e.legacy(t)
	if text := p.refused("find_project_config", `{}`); !strings.Contains(text, "call set_working_directory first") {
		t.Errorf("find_project_config answers %q", text)
	}
	for arguments, want := range map[string]string{`{}`: "main", `{"project_id":"mercury"}`: "mercury"} {
		if got := p.done("auto_switch_project", arguments).field("project_id"); got != want {
			t.Errorf("auto_switch_project %s decides %q, want %q", arguments, got, want)
		}
	}
}

func TestWhyTheActiveProjectCouldNotBeAskedForIsLogged(t *testing.T) {
	e := serve(t, setup{resolver: &project.Resolver{Active: active("", errors.New("dial 10.0.0.7: refused")), Default: "main"}})
	p := e.legacy(t)
	p.done("auto_switch_project", `{}`)
	if log := e.log.String(); !strings.Contains(log, "10.0.0.7") || !strings.Contains(log, p.ref()) {
		t.Errorf("the log names no address or no session: %s", log)
	}
}
