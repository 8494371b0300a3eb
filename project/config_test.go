package project

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const someUUID = "3f2b8c1e-9d44-4c1b-8a55-0d1f6f1c2b3a"

// full is a configuration with every field.
const full = `{
	"version": "1.12",
	"project": {"name": "my-app", "id": "3F2B8C1E-9D44-4C1B-8A55-0D1F6F1C2B3A", "colour": "red"},
	"auto_switch": false,
	"strict_mode": true,
	"dry_run": true,
	"description": "An app.",
	"created_at": "2026-01-02T15:04:05Z",
	"updated_at": "2026-01-02T15:04:05.25+02:00",
	"unknown": [1, {"a": null}]
}`

func TestParseConfigReadsEveryField(t *testing.T) {
	c, err := parseConfig([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	if !c.CreatedAt.Equal(time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)) ||
		!c.UpdatedAt.Equal(time.Date(2026, 1, 2, 13, 4, 5, 250e6, time.UTC)) {
		t.Errorf("created %v, updated %v", c.CreatedAt, c.UpdatedAt)
	}
	c.CreatedAt, c.UpdatedAt = time.Time{}, time.Time{}
	want := Config{
		Version: "1.12", Project: Project{Name: "my-app", ID: someUUID},
		AutoSwitch: false, StrictMode: true, DryRun: true, Description: "An app.",
	}
	if c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestParseConfigDefaults(t *testing.T) {
	want := Config{Version: "1.0", Project: Project{Name: "x"}, AutoSwitch: true}
	for name, text := range map[string]string{
		"the required fields only": named("x"),
		"a byte order mark":        "\xef\xbb\xbf" + named("x"),
		"white space around":       "\r\n " + named("x") + "\n\n",
		"null is absent": `{"version": "1.0", "project": {"name": "x", "id": null}, "auto_switch": null, "strict_mode": null,
			"dry_run": null, "description": null, "created_at": null, "updated_at": null}`,
		"names are case-sensitive": `{"version": "1.0", "project": {"name": "x", "Name": "y"}, "Auto_Switch": false, "DRY_RUN": 7}`,
		"the last of two counts":   `{"version": 2, "version": "1.0", "project": {"name": "y"}, "project": {"name": "x"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseConfig([]byte(text))
			if err != nil || c != want {
				t.Errorf("got %+v, %v, want %+v", c, err, want)
			}
		})
	}
}

func TestParseConfigLimitsAreInclusiveAndCountCharacters(t *testing.T) {
	name, description := strings.Repeat("é", 255), strings.Repeat("é", 1000)
	c, err := parseConfig([]byte(`{"version": "1.0", "project": {"name": "` + name + `"}, "description": "` + description + `"}`))
	if err != nil || c.Project.Name != name || c.Description != description {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestParseConfigRefuses(t *testing.T) {
	with := func(more string) string {
		return `{"version": "1.0", "project": {"name": "x"}, ` + more + `}`
	}
	withVersion := func(v string) string { return `{"version": ` + v + `, "project": {"name": "x"}}` }
	withProject := func(p string) string { return `{"version": "1.0", "project": ` + p + `}` }
	for name, c := range map[string]struct{ text, says string }{
		"nothing":                    {"", "not valid JSON"},
		"a broken line":              {"{\n\"version\": \"1.0\",\n}", "line 3"},
		"comments":                   {"// hello\n{}", "not valid JSON"},
		"trailing data":              {named("x") + "{}", "after top-level value"},
		"an array":                   {"[]", "no JSON object"},
		"null":                       {"null", "null"},
		"UTF-16":                     {"\xff\xfe{\x00", "not UTF-8"},
		"Latin-1":                    {named("x\xe9"), ""},
		"endless nesting":            {with(`"a": ` + strings.Repeat("[", 20000)), "not valid JSON"},
		"more than a megabyte":       {strings.Repeat(" ", maxConfigBytes+1), "larger"},
		"an empty object":            {"{}", "version is missing: add"},
		"an empty object, too":       {"{}", "project.name is missing: add"},
		"a number as version":        {withVersion("1.0"), "version must be a string"},
		"a version of one number":    {withVersion(`"1"`), "major.minor"},
		"a version of three":         {withVersion(`"1.0.0"`), "major.minor"},
		"a version with a sign":      {withVersion(`"+1.0"`), "major.minor"},
		"a version with a space":     {withVersion(`"1. 0"`), "major.minor"},
		"a newer major version":      {withVersion(`"2.0"`), "newer than the 1.x"},
		"a huge major version":       {withVersion(`"99999999999999999999.0"`), "newer than the 1.x"},
		"major version 0":            {withVersion(`"0.9"`), "does not exist"},
		"a string as project":        {withProject(`"x"`), "project must be an object"},
		"no project name":            {withProject(`{"id": "` + someUUID + `"}`), "project.name is missing"},
		"an empty project name":      {withProject(`{"name": ""}`), "project.name is missing"},
		"a number as name":           {withProject(`{"name": 7}`), "project.name must be a string"},
		"a name of 256 characters":   {withProject(`{"name": "` + strings.Repeat("é", 256) + `"}`), "project.name has 256 characters"},
		"a line break in the name":   {withProject(`{"name": "a\nb"}`), "control character"},
		"an id that is no UUID":      {withProject(`{"name": "x", "id": "17"}`), "not a UUID"},
		"an empty id":                {withProject(`{"name": "x", "id": ""}`), "not a UUID"},
		"a UUID in braces":           {withProject(`{"name": "x", "id": "{` + someUUID + `}"}`), "not a UUID"},
		"36 characters, no UUID":     {withProject(`{"name": "x", "id": "` + strings.Repeat("x", 36) + `"}`), "not a UUID"},
		"a number as id":             {withProject(`{"name": "x", "id": 7}`), "project.id must be a string"},
		"a string as auto_switch":    {with(`"auto_switch": "yes"`), "auto_switch must be true or false"},
		"a number as strict_mode":    {with(`"strict_mode": 1`), "strict_mode must be true or false"},
		"an object as dry_run":       {with(`"dry_run": {}`), "dry_run must be true or false"},
		"a list as description":      {with(`"description": []`), "description must be a string"},
		"1001 characters of it":      {with(`"description": "` + strings.Repeat("é", 1001) + `"`), "description has 1001 characters"},
		"a date as created_at":       {with(`"created_at": "2026-01-02"`), "created_at"},
		"a time without zone":        {with(`"updated_at": "2026-01-02T15:04:05"`), "RFC 3339"},
		"a number as updated_at":     {with(`"updated_at": 1767366245`), "updated_at must be a string"},
		"several mistakes, all told": {`{"version": 1, "auto_switch": 0}`, "version must be a string; auto_switch must be true or false"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseConfig([]byte(c.text))
			wantError(t, err, c.says)
			if got != (Config{}) {
				t.Errorf("with an error came %+v", got)
			}
			if err != nil && (len(err.Error()) > 400 || strings.Contains(err.Error(), "\n")) {
				t.Errorf("no short line: %q", err)
			}
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{
		full, named("x"), "", "{}", "null", "[]", "\xef\xbb\xbf{}", `{"version": "1.0"}`,
		`{"version": "2.0", "project": {"name": "x"}}`,
		`{"version": "1.0", "project": {"name": "\ud800", "id": ""}}`,
		`{"version": "1.0", "project": {"name": "x"}, "created_at": "2026-13-01T00:00:00Z"}{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig(data)
		if err != nil {
			if c != (Config{}) || strings.Contains(err.Error(), "\n") || !utf8.ValidString(err.Error()) {
				t.Errorf("%+v, %q", c, err)
			}
			return
		}
		if !strings.HasPrefix(strings.TrimLeft(c.Version, "0"), "1.") {
			t.Errorf("version %q accepted", c.Version)
		}
		if checkID(c.Project.identity()) != nil || checkID(c.Project.Name) != nil {
			t.Errorf("project %+v accepted", c.Project)
		}
		if canonical, ok := canonicalUUID(c.Project.ID); c.Project.ID != "" && (!ok || canonical != c.Project.ID) {
			t.Errorf("id %q accepted", c.Project.ID)
		}
		if utf8.RuneCountInString(c.Description) > 1000 {
			t.Errorf("description of %d bytes accepted", len(c.Description))
		}
	})
}
