package project

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func active(id string, err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return id, err }
}

func TestTheFirstStepThatCanDecides(t *testing.T) {
	byName := &Config{Project: Project{Name: "conf"}, AutoSwitch: true}
	byID := &Config{Project: Project{Name: "conf", ID: someUUID}, AutoSwitch: true}
	manual := &Config{Project: Project{Name: "conf"}}
	strict := &Config{Project: Project{Name: "conf", ID: someUUID}, AutoSwitch: true, StrictMode: true}
	strictManual := &Config{Project: Project{Name: "conf"}, StrictMode: true}
	dry := &Config{Project: Project{Name: "conf"}, AutoSwitch: true, DryRun: true}
	unreachable := errors.New("dial tcp 10.1.2.3:80: refused")

	for name, c := range map[string]struct {
		resolver Resolver
		explicit string
		cfg      *Config
		id       string
		source   Source
		dryRun   bool
		skipped  []string // parts of what Skipped says
	}{
		"an explicit id comes first":              {Resolver{active("act", nil), "def"}, "exp", byName, "exp", SourceExplicit, false, nil},
		"an explicit UUID is lower-cased":         {Resolver{}, strings.ToUpper(someUUID), nil, someUUID, SourceExplicit, false, nil},
		"a strict config accepts its own id":      {Resolver{}, strings.ToUpper(someUUID), strict, someUUID, SourceExplicit, false, nil},
		"a strict config decides like any other":  {Resolver{}, "", strict, someUUID, SourceConfig, false, nil},
		"then the config, by its id":              {Resolver{active("act", nil), "def"}, "", byID, someUUID, SourceConfig, false, []string{"no project id was given"}},
		"or by its name, if it has no id":         {Resolver{}, "", byName, "conf", SourceConfig, false, nil},
		"not if auto_switch is false":             {Resolver{active("act", nil), "def"}, "", manual, "act", SourceActive, false, []string{"explicit", "config: auto_switch is false"}},
		"then the active project":                 {Resolver{active("act", nil), "def"}, "", nil, "act", SourceActive, false, []string{"explicit", "config: the session has no"}},
		"an active UUID is lower-cased":           {Resolver{active(strings.ToUpper(someUUID), nil), ""}, "", nil, someUUID, SourceActive, false, nil},
		"then the default, if nobody is asked":    {Resolver{nil, "def"}, "", nil, "def", SourceDefault, false, []string{"explicit", "config", "active: no server"}},
		"or has no active project":                {Resolver{active("", nil), "def"}, "", nil, "def", SourceDefault, false, []string{"explicit", "config", "has no active project"}},
		"or cannot be reached":                    {Resolver{active("", unreachable), "def"}, "", nil, "def", SourceDefault, false, []string{"explicit", "config", "could not be learned"}},
		"or answers what is no id":                {Resolver{active("a\nb", nil), "def"}, "", nil, "def", SourceDefault, false, []string{"explicit", "config", "could not be learned"}},
		"dry_run marks the resolution":            {Resolver{}, "", dry, "conf", SourceConfig, true, nil},
		"also of an explicit id":                  {Resolver{}, "exp", dry, "exp", SourceExplicit, true, nil},
		"strict, auto_switch off, same elsewhere": {Resolver{nil, "conf"}, "", strictManual, "conf", SourceDefault, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.resolver.Resolve(t.Context(), c.explicit, c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got.ProjectID != c.id || got.Source != c.source || got.DryRun != c.dryRun {
				t.Errorf("got %+v, want %q from %s, dry run %v", got, c.id, c.source, c.dryRun)
			}
			for i, part := range c.skipped {
				if i >= len(got.Skipped) || !strings.Contains(got.Skipped[i], part) {
					t.Errorf("Skipped is %q, want %q at %d", got.Skipped, part, i)
				}
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	strict := &Config{Project: Project{Name: "conf"}, AutoSwitch: true, StrictMode: true}
	strictID := &Config{Project: Project{Name: "conf", ID: someUUID}, AutoSwitch: true, StrictMode: true}
	strictManual := &Config{Project: Project{Name: "conf"}, StrictMode: true}
	for name, c := range map[string]struct {
		resolver Resolver
		explicit string
		cfg      *Config
		is       error
		says     []string
	}{
		"when no step decides":                      {Resolver{}, "", nil, ErrNoProject, []string{"explicit:", "config:", "active:", "default:", "give a project id"}},
		"another project than a strict config's":    {Resolver{}, "other", strict, ErrMismatch, []string{`"other"`, `"conf"`, "strict_mode"}},
		"the name, where a strict config has an id": {Resolver{}, "conf", strictID, ErrMismatch, []string{`"conf"`, someUUID}},
		"another active project, strictly":          {Resolver{active("act", nil), ""}, "", strictManual, ErrMismatch, []string{`"act" (active)`, `"conf"`}},
		"another default project, strictly":         {Resolver{nil, "def"}, "", strictManual, ErrMismatch, []string{`"def" (default)`, `"conf"`}},
		"an explicit id of 256 characters":          {Resolver{}, strings.Repeat("é", 256), nil, nil, []string{"256 characters"}},
		"an explicit id with a control":             {Resolver{}, "a\x1bb", nil, nil, []string{"control character"}},
		"an explicit id that is no UTF-8":           {Resolver{}, "a\xff", nil, nil, []string{"UTF-8"}},
		"a default id with a control":               {Resolver{nil, "a\n"}, "", nil, nil, []string{"default project", "control character"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.resolver.Resolve(t.Context(), c.explicit, c.cfg)
			wantError(t, err, c.says...)
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v is not %v", err, c.is)
			}
			if got.ProjectID != "" || got.Source != "" {
				t.Errorf("with an error came %+v", got)
			}
		})
	}
}

func TestAFailureOfTheActiveStepIsForTheLogNotTheClient(t *testing.T) {
	secret := errors.New("dial tcp 10.1.2.3:80: refused")
	r := Resolver{Active: active("", secret), Default: "def"}
	got, err := r.Resolve(t.Context(), "", nil)
	if err != nil || !errors.Is(got.ActiveErr, secret) {
		t.Errorf("ActiveErr is %v, error %v", got.ActiveErr, err)
	}
	if strings.Contains(strings.Join(got.Skipped, " "), "10.1.2.3") {
		t.Errorf("Skipped names an address: %q", got.Skipped)
	}
}

func TestTheActiveStepGetsOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
		r := Resolver{Active: hangs, Default: "def"}
		start := time.Now()
		got, err := r.Resolve(t.Context(), "", nil)
		if err != nil || got.Source != SourceDefault || !errors.Is(got.ActiveErr, context.DeadlineExceeded) {
			t.Errorf("%+v, %v", got, err)
		}
		if !strings.Contains(strings.Join(got.Skipped, " "), "did not answer within 1s") {
			t.Errorf("Skipped is %q", got.Skipped)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
	})
}

func TestResolveEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := Resolver{Default: "def", Active: func(ctx context.Context) (string, error) {
		cancel()
		return "", ctx.Err()
	}}
	if _, err := r.Resolve(ctx, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled and not the default project", err)
	}
}
