package project

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	maxConfigBytes      = 1 << 20
	maxIDCharacters     = 255
	maxDescriptionChars = 1000 // characters are Unicode code points
)

// Config is the content of a project's configuration file, checked.
type Config struct {
	Version     string    // "major.minor"; major is 1
	Project     Project   // the project that the checkout belongs to
	AutoSwitch  bool      // the file may decide the project by itself; true unless the file says false
	StrictMode  bool      // any other project is an error
	DryRun      bool      // say what would happen, record nothing
	Description string    // at most 1000 characters
	CreatedAt   time.Time // zero if the file does not say
	UpdatedAt   time.Time // zero if the file does not say
}

// Project names a project.
type Project struct {
	Name string // 1 to 255 characters
	ID   string // a UUID in lower case; empty: Name identifies the project
}

// identity is what a session records as its project id.
func (p Project) identity() string {
	if p.ID != "" {
		return p.ID
	}
	return p.Name
}

// parseConfig reads a configuration file's content. Errors read as the end of a
// sentence that begins with the file's name.
func parseConfig(data []byte) (Config, error) {
	if len(data) > maxConfigBytes {
		return Config{}, fmt.Errorf("is larger than %d bytes: make it smaller", maxConfigBytes)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // some editors on Windows add it
	if !utf8.Valid(data) {
		return Config{}, errors.New("is not UTF-8: save it as UTF-8")
	}
	// Maps, not structs: encoding/json matches struct fields in any case.
	var file object
	if err := json.Unmarshal(data, &file); err != nil {
		return Config{}, jsonError(data, err)
	}
	if file == nil {
		return Config{}, errors.New("is null: it must be a JSON object")
	}

	c := Config{AutoSwitch: true}
	var project object
	var created, updated string
	if err := errors.Join(
		file.get("version", "a string", &c.Version),
		file.get("project", "an object", &project),
		file.get("auto_switch", "true or false", &c.AutoSwitch),
		file.get("strict_mode", "true or false", &c.StrictMode),
		file.get("dry_run", "true or false", &c.DryRun),
		file.get("description", "a string", &c.Description),
		file.get("created_at", "a string", &created),
		file.get("updated_at", "a string", &updated),
		project.get("project.name", "a string", &c.Project.Name),
		project.get("project.id", "a string", &c.Project.ID),
	); err != nil {
		return Config{}, oneLine(err)
	}

	if err := errors.Join(
		checkVersion(c.Version),
		checkName(c.Project.Name),
		checkDescription(c.Description),
		parseTime("created_at", created, &c.CreatedAt),
		parseTime("updated_at", updated, &c.UpdatedAt),
	); err != nil {
		return Config{}, oneLine(err)
	}
	if _, given := project["id"]; given && string(project["id"]) != "null" {
		id, ok := canonicalUUID(c.Project.ID)
		if !ok {
			return Config{}, fmt.Errorf("is wrong: project.id %.40q is not a UUID like 123e4567-e89b-12d3-a456-426614174000: correct it or leave it out", c.Project.ID)
		}
		c.Project.ID = id
	}
	return c, nil
}

// object is a JSON object whose fields are not decoded yet.
type object map[string]json.RawMessage

// get decodes a field into value, which it leaves alone if there is none or it
// is null. The field is what follows the last dot of name.
func (o object) get(name, want string, value any) error {
	raw, ok := o[name[strings.LastIndexByte(name, '.')+1:]]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, value); err != nil {
		return fmt.Errorf("%s must be %s", name, want)
	}
	return nil
}

// jsonError says where in the file the JSON ends to be JSON.
func jsonError(data []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return errors.New("is no JSON object: it must be one, {...}")
	}
	offset := min(int(syntax.Offset), len(data))
	line := 1 + bytes.Count(data[:offset], []byte("\n"))
	return fmt.Errorf("is not valid JSON: line %d: %w", line, err)
}

// oneLine turns the several errors of errors.Join into one sentence.
func oneLine(err error) error {
	return fmt.Errorf("is wrong: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
}

func checkVersion(version string) error {
	if version == "" {
		return errors.New(`version is missing: add "version": "1.0"`)
	}
	major, minor, _ := strings.Cut(version, ".")
	if !isNumber(major) || !isNumber(minor) {
		return fmt.Errorf(`version %.40q must be "major.minor", like "1.0"`, version)
	}
	switch major = strings.TrimLeft(major, "0"); major {
	case "1":
		return nil
	case "":
		return fmt.Errorf(`version %.40q does not exist: the first is "1.0"`, version)
	}
	return fmt.Errorf("version %.40q is newer than the 1.x understood here: upgrade this server, or write the file as version 1.0", version)
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func checkName(name string) error {
	if name == "" {
		return errors.New(`project.name is missing: add "project": {"name": "..."}`)
	}
	if err := checkID(name); err != nil {
		return fmt.Errorf("project.name %w", err)
	}
	return nil
}

// checkID checks what may identify a project, be it a UUID or a name.
func checkID(id string) error {
	switch n := utf8.RuneCountInString(id); {
	case n == 0:
		return errors.New("is empty")
	case n > maxIDCharacters:
		return fmt.Errorf("has %d characters: at most %d are allowed", n, maxIDCharacters)
	case !utf8.ValidString(id):
		return errors.New("is not valid UTF-8")
	case strings.ContainsFunc(id, unicode.IsControl):
		return errors.New("contains a control character, such as a line break")
	}
	return nil
}

func checkDescription(text string) error {
	if n := utf8.RuneCountInString(text); n > maxDescriptionChars {
		return fmt.Errorf("description has %d characters: at most %d are allowed", n, maxDescriptionChars)
	}
	return nil
}

func parseTime(name, text string, t *time.Time) error {
	if text == "" {
		return nil
	}
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("%s %.40q is no RFC 3339 time like 2026-01-02T15:04:05Z", name, text)
	}
	*t = parsed
	return nil
}

// canonicalUUID returns a UUID of the usual 36 characters in lower case; the
// other forms that package uuid accepts are not ids here.
func canonicalUUID(s string) (string, bool) {
	if len(s) != 36 {
		return "", false
	}
	id, err := uuid.Parse(s)
	return id.String(), err == nil
}
