package tools_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADirectoryThatIsNoGoodIsRefusedWithTheReason(t *testing.T) {
	root, outside := checkout(t, ""), checkout(t, "")
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "way-out")); err != nil {
		t.Fatal(err)
	}
	e := serve(t, setup{finder: finder(t, root)})
	legacy, modern := e.legacy(t), e.modern(t)
	alive := e.count(t)

	for what, test := range map[string]struct{ directory, says string }{
		"empty":                       {`""`, "is empty"},
		"null":                        {`null`, "is empty"},
		"relative":                    {`"checkout"`, "is not absolute"},
		"a dot":                       {`"."`, "is not absolute"},
		"of a home":                   {`"~/checkout"`, "is not absolute"},
		"of a variable":               {`"$HOME"`, "is not absolute"},
		"a URL":                       {asJSON("file://" + root), "is not absolute"},
		"missing":                     {asJSON(filepath.Join(root, "missing")), "does not exist"},
		"below a file":                {asJSON(filepath.Join(file, "sub")), "does not exist"},
		"a file":                      {asJSON(file), "is not a directory"},
		"outside the roots":           {asJSON(outside), "outside the allowed roots"},
		"missing, outside the roots":  {asJSON(filepath.Join(outside, "missing")), "outside the allowed roots"},
		"the root's parent":           {asJSON(filepath.Dir(root)), "outside the allowed roots"},
		"out of the roots through ..": {asJSON(root + "/../" + filepath.Base(outside)), "outside the allowed roots"},
		"out of them by a link":       {asJSON(filepath.Join(root, "way-out")), "outside the allowed roots"},
		"with a NUL":                  {asJSON(root + "\x00"), "NUL"},
		"too long":                    {asJSON(root + "/" + strings.Repeat("x", 4096)), "at most 4096"},
	} {
		t.Run(what, func(t *testing.T) {
			for era, client := range map[string]peer{"legacy": legacy, "modern": modern} {
				text := peer{t, client.Client}.refused("set_working_directory", `{"directory":`+test.directory+`}`)
				if !strings.Contains(text, test.says) || len(text) > 8000 {
					t.Errorf("a %s client is told %.300q, want %q", era, text, test.says)
				}
			}
		})
	}
	if s := e.stored(t, legacy.ref()); s.WorkingDirectory != "" || s.Revision != 1 {
		t.Errorf("something was stored: %+v", s)
	}
	if n := e.count(t); n != alive {
		t.Errorf("calls that failed left %d sessions where %d were", n, alive)
	}
}

func TestABadDirectoryLeavesTheOneThatWasSet(t *testing.T) {
	dir := checkout(t, fullConfig)
	e := serve(t, setup{finder: finder(t)})
	p := e.legacy(t)
	p.done("set_working_directory", fmt.Sprintf(`{"directory":%q}`, dir))
	p.done("auto_switch_project", `{}`)
	before := e.stored(t, p.ref())
	p.refused("set_working_directory", fmt.Sprintf(`{"directory":%q}`, dir+"/missing"))
	after := e.stored(t, p.ref())
	if after.WorkingDirectory != dir || after.ProjectID != before.ProjectID || after.ConfigPath != before.ConfigPath || after.Revision != before.Revision {
		t.Errorf("the session was changed from %+v to %+v", before, after)
	}
}

func TestADirectoryIsStoredClean(t *testing.T) {
	dir := checkout(t, "")
	p := serve(t, setup{finder: finder(t, dir)}).legacy(t)
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{
		dir:                                      dir,
		dir + "/":                                dir,
		dir + "/./sub//":                         dir + "/sub",
		dir + "/sub/..":                          dir,
		dir + "/sub/../../" + filepath.Base(dir): dir,
	} {
		if got := p.done("set_working_directory", fmt.Sprintf(`{"directory":%q}`, given)).field("working_directory"); got != want {
			t.Errorf("%q is stored as %q, want %q", given, got, want)
		}
	}
}

func TestWithoutAFinderDirectoriesAreStoredAndNotLookedAt(t *testing.T) {
	dir := checkout(t, fullConfig) // exists, and must not be noticed
	e := serve(t, setup{})
	p := e.legacy(t)
	for given, want := range map[string]string{
		dir:                       dir,
		"/no/such/../directory":   "/no/directory",
		`C:\Users\me\checkout`:    `C:\Users\me\checkout`,
		`\\server\share\checkout`: `\\server\share\checkout`,
	} {
		p.done("set_working_directory", `{"directory":`+asJSON(given)+`}`).
			is(fmt.Sprintf(`{"session_id":%q,"working_directory":%s,"config_found":false}`, p.ref(), asJSON(want)))
		if got := e.stored(t, p.ref()); got.WorkingDirectory != want || got.ConfigPath != "" {
			t.Errorf("%q is stored as %+v", given, got)
		}
	}
	for what, directory := range map[string]string{
		"is empty": "", "is not absolute": "checkout", "NUL": "/a\x00b", "at most 4096": "/" + strings.Repeat("x", 4096),
	} {
		if text := p.refused("set_working_directory", `{"directory":`+asJSON(directory)+`}`); !strings.Contains(text, what) {
			t.Errorf("%.20q is answered %.200q, want %q", directory, text, what)
		}
	}
	text := p.refused("find_project_config", `{}`)
	if !strings.Contains(text, "does not look at directories") || !strings.Contains(text, "project_id") {
		t.Errorf("find_project_config answers %q", text)
	}
	p.done("auto_switch_project", `{"project_id":"apollo"}`)
}

func TestAnotherDirectoryForgetsTheProject(t *testing.T) {
	apollo, gemini := checkout(t, fullConfig), checkout(t, "")
	e := serve(t, setup{finder: finder(t)})
	p := e.legacy(t)
	set := func(dir string) { p.done("set_working_directory", fmt.Sprintf(`{"directory":%q}`, dir)) }
	set(apollo)
	p.done("auto_switch_project", `{}`)
	set(apollo)
	if s := e.stored(t, p.ref()); s.ProjectID == "" || s.ConfigPath == "" {
		t.Errorf("the same directory set again makes the session forget its project: %+v", s)
	}
	set(gemini)
	if s := e.stored(t, p.ref()); s.ProjectID != "" || s.ConfigPath != "" {
		t.Errorf("in another directory the session still has project %q and config %q", s.ProjectID, s.ConfigPath)
	}
}

func TestAConfigThatCannotBeUsedIsNamedAndTheDirectorySetAllTheSame(t *testing.T) {
	for what, test := range map[string]struct{ config, says string }{
		"not JSON":         {`{"version": `, "not valid JSON"},
		"no object":        {`[]`, "no JSON object"},
		"of another major": {`{"version":"2.0","project":{"name":"x"}}`, "2.0"},
		"nameless":         {`{"version":"1.0"}`, "project.name is missing"},
		"of wrong types":   {`{"version":1,"project":{"name":"x"}}`, "version must be a string"},
		"not UTF-8":        {"{\"version\":\"1.0\",\"project\":{\"name\":\"\xff\"}}", "not UTF-8"},
		"too large":        {`{"version":"1.0","project":{"name":"x"},"description":"` + strings.Repeat("x", 1<<20) + `"}`, "larger than 1048576"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := checkout(t, test.config)
			path := filepath.Join(dir, ".codebase-mcp", "config.json")
			e := serve(t, setup{finder: finder(t), options: validating})
			p := e.legacy(t)
			set := p.done("set_working_directory", fmt.Sprintf(`{"directory":%q}`, dir))
			says := set.field("config_error")
			if !strings.Contains(says, path) || !strings.Contains(says, test.says) {
				t.Errorf("set_working_directory explains %q, want %q and %q", says, path, test.says)
			}
			set.is(fmt.Sprintf(`{"session_id":%q,"working_directory":%q,"config_found":false,"config_error":%s}`, p.ref(), dir, asJSON(says)))
			if s := e.stored(t, p.ref()); s.WorkingDirectory != dir || s.ConfigPath != "" {
				t.Errorf("the session holds %+v", s)
			}
			for _, tool := range []string{"find_project_config", "auto_switch_project"} {
				if text := p.refused(tool, `{}`); !strings.Contains(text, path) || !strings.Contains(text, test.says) {
					t.Errorf("%s answers %q, want %q and %q", tool, text, path, test.says)
				}
			}
		})
	}
}

func TestADirectoryThatIsNotUTF8IsRefused(t *testing.T) {
	e := serve(t, setup{}) // no Finder: stored, not looked at
	p := e.legacy(t)
	for _, directory := range []string{"\"/a\xff\"", `"/a\ud800"`} {
		if a := p.call("set_working_directory", `{"directory":`+directory+`}`); !a.isError || !strings.Contains(a.text, "UTF-8") {
			t.Errorf("%q is answered %s", directory, a.text)
		}
	}
	if s := e.stored(t, p.ref()); s.WorkingDirectory != "" {
		t.Errorf("%q is stored", s.WorkingDirectory)
	}
}
