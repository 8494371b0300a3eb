package mcpsession_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession"
)

const (
	alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	refEnd   = 1 + (mcpsession.TokenLen-1)/2 // where the secret half of a token begins
)

// kinds are the two kinds of ID, each with the only function that reads it.
var kinds = []struct {
	name         string
	create       func() mcpsession.ID
	parse, other func(string) (mcpsession.ID, error)
}{
	{"session id", mcpsession.NewSessionID, mcpsession.ParseSessionID, mcpsession.ParseHandle},
	{"handle", mcpsession.NewHandle, mcpsession.ParseHandle, mcpsession.ParseSessionID},
}

func TestTokenParsesBackToTheSameID(t *testing.T) {
	for _, kind := range kinds {
		for range 1000 {
			id := kind.create()
			token := id.Token()
			if len(token) != mcpsession.TokenLen || strings.Trim(token, alphabet) != "" {
				t.Fatalf("the token of a %s is %d bytes long: %q", kind.name, len(token), token)
			}
			got, err := kind.parse(token)
			if err != nil {
				t.Fatal(err)
			}
			if got.Token() != id.Token() || got.Ref() != id.Ref() || got.Token() != token {
				t.Fatalf("%s %q parses to %q", kind.name, token, got.Token())
			}
			if got.Digest() != id.Digest() || !got.Matches(id.Digest()) {
				t.Fatalf("the digest of %s %s changes when it is parsed", kind.name, id)
			}
		}
	}
}

func TestOneKindIsNeverAcceptedAsTheOther(t *testing.T) {
	for _, kind := range kinds {
		id := kind.create()
		if got, err := kind.other(id.Token()); !errors.Is(err, mcpsession.ErrNotFound) || !got.IsZero() {
			t.Errorf("a %s was accepted as the other kind: %v, %v", kind.name, got, err)
		}
	}
	// The kind is part of the secret: swapping the first letter opens nothing.
	session := mcpsession.NewSessionID()
	renamed, err := mcpsession.ParseHandle("h" + session.Token()[1:])
	if err != nil {
		t.Fatal(err)
	}
	if renamed.Matches(session.Digest()) || session.Matches(renamed.Digest()) {
		t.Error("a session id whose first letter was changed opens the session as a handle")
	}
}

func TestMalformedTokensAreNotFound(t *testing.T) {
	for _, kind := range kinds {
		good := kind.create().Token()
		replaced := func(at int, with string) string { return good[:at] + with + good[at+len(with):] }
		for name, token := range map[string]string{
			"empty":                       "",
			"only the kind":               good[:1],
			"only the ref":                good[:refEnd],
			"one byte short":              good[:len(good)-1],
			"one byte long":               good + "A",
			"twice":                       good + good,
			"1 MB":                        strings.Repeat("A", 1<<20),
			"1 MB after a good one":       good + strings.Repeat("A", 1<<20),
			"unknown kind":                replaced(0, "x"),
			"kind in upper case":          replaced(0, strings.ToUpper(good[:1])),
			"without a kind":              good[1:] + "A",
			"standard base64 plus":        replaced(5, "+"),
			"standard base64 slash":       replaced(30, "/"),
			"dot":                         replaced(refEnd, "."),
			"percent encoding":            replaced(7, "%2D"),
			"padding at the end":          replaced(len(good)-1, "="),
			"padding beyond the end":      good + "==",
			"padding between the halves":  replaced(refEnd-1, "="),
			"space":                       replaced(9, " "),
			"space before":                " " + good,
			"space instead of the last":   replaced(len(good)-1, " "),
			"newline after":               good + "\n",
			"newline inside the ref":      replaced(9, "\n"),
			"newline inside the secret":   replaced(refEnd+3, "\n"),
			"newline as the last byte":    replaced(len(good)-1, "\n"),
			"newline inserted":            good[:9] + "\n" + good[9:],
			"four newlines":               replaced(refEnd, "\n\r\n\r"),
			"carriage return":             replaced(10, "\r"),
			"NUL":                         replaced(12, "\x00"),
			"only NULs":                   strings.Repeat("\x00", len(good)),
			"non-zero trailing bits, ref": replaced(refEnd-1, "B"),
			"non-zero trailing bits":      replaced(len(good)-1, "_"),
			"two-byte letter":             replaced(11, "é"),
			"letter that looks alike":     replaced(11, "а"), // Cyrillic
			"full-width letters":          replaced(11, "Ａ"),
			"invalid UTF-8":               replaced(11, "\xff"),
		} {
			id, err := kind.parse(token)
			if !errors.Is(err, mcpsession.ErrNotFound) {
				t.Errorf("%s, %s: error is %v, want one that wraps ErrNotFound", kind.name, name, err)
				continue
			}
			if !id.IsZero() {
				t.Errorf("%s, %s: an ID came with the error", kind.name, name)
			}
			if text := err.Error(); len(text) > 100 || len(token) > 8 && strings.Contains(text, token) {
				t.Errorf("%s, %s: the error repeats what the client sent: %.200q", kind.name, name, text)
			}
		}
	}
}

func TestExactlyOneSpellingOpens(t *testing.T) {
	id := mcpsession.NewSessionID()
	token := id.Token()
	for at := range token {
		accepted := 0
		for _, letter := range []byte(alphabet) {
			spelling := token[:at] + string(letter) + token[at+1:]
			got, err := mcpsession.ParseSessionID(spelling)
			if err != nil {
				continue
			}
			accepted++
			if got.Token() != spelling {
				t.Errorf("%q parses, but is spelt %q", spelling, got.Token())
			}
			if got.Matches(id.Digest()) != (spelling == token) {
				t.Errorf("%q opens what %q does", spelling, token)
			}
		}
		want := 64
		switch at {
		case 0:
			want = 1 // the kind
		case refEnd - 1, len(token) - 1:
			want = 4 // 2 of the last letter's 6 bits are used, the others must be zero
		}
		if accepted != want {
			t.Errorf("%d letters are accepted at position %d, want %d", accepted, at, want)
		}
	}
}

func TestTheZeroIDHasNoToken(t *testing.T) {
	var id mcpsession.ID
	if !id.IsZero() || id.Token() != "" {
		t.Errorf("the zero ID is zero: %t, its token is %q", id.IsZero(), id.Token())
	}
	for _, kind := range kinds {
		if kind.create().IsZero() {
			t.Errorf("a new %s is zero", kind.name)
		}
	}
}

// spellings returns every form in which the secret half of id might show.
func spellings(t *testing.T, id mcpsession.ID) map[string]string {
	t.Helper()
	half := id.Token()[refEnd:]
	secret, err := base64.RawURLEncoding.DecodeString(half)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"its text":          half,
		"its text in hex":   fmt.Sprintf("%x", half),
		"decimal bytes":     strings.Trim(fmt.Sprint(secret), "[]"),
		"decimal JSON":      strings.Trim(strings.Join(strings.Fields(fmt.Sprint(secret)), ","), "[]"),
		"hex":               fmt.Sprintf("%x", secret),
		"hex in upper case": fmt.Sprintf("%X", secret),
		"Go syntax":         strings.Trim(strings.TrimPrefix(fmt.Sprintf("%#v", secret), "[]byte"), "{}"),
		"raw bytes":         string(secret),
		"padded base64":     base64.StdEncoding.EncodeToString(secret),
	}
}

func TestPrintingAnIDNeverShowsItsSecret(t *testing.T) {
	type exported struct {
		Name string
		ID   mcpsession.ID
	}
	type unexported struct { // package fmt calls no methods on its fields
		name string
		id   mcpsession.ID
	}
	for _, kind := range kinds {
		id := kind.create()
		forms := spellings(t, id)
		check := func(how, output string) {
			t.Helper()
			for form, text := range forms {
				if strings.Contains(output, text) {
					t.Errorf("%s of a %s shows the secret as %s: %s", how, kind.name, form, output)
				}
			}
		}
		live := mcpsession.NewLive(nil, id, mcpsession.Session{})
		for name, value := range map[string]any{
			"an ID":                      id,
			"a pointer":                  &id,
			"a struct":                   exported{"n", id},
			"a pointer to a struct":      &exported{"n", id},
			"an unexported field":        unexported{"n", id},
			"a pointer in a struct":      struct{ Pointer *exported }{&exported{"n", id}},
			"a pointer to an unexported": struct{ Pointer *unexported }{&unexported{"n", id}},
			"an ID's own pointer":        struct{ Pointer *mcpsession.ID }{&id},
			"a slice":                    []mcpsession.ID{id},
			"a map":                      map[string]mcpsession.ID{"n": id},
			"an interface":               []any{id, &id},
			"a Live":                     live,
			"a struct with a Live":       struct{ live *mcpsession.Live }{live},
		} {
			for _, verb := range []string{"%v", "%s", "%q", "%+v", "%#v", "%x", "%X", "%d", "%t", "%c", "%!"} {
				check(verb+" of "+name, fmt.Sprintf(verb, value))
			}
			var out bytes.Buffer
			text := slog.New(slog.NewTextHandler(&out, nil))
			json := slog.New(slog.NewJSONHandler(&out, nil))
			for _, log := range []*slog.Logger{text, json, text.With("id", value), json.WithGroup("g").With("id", value)} {
				log.Info("message", "value", value, slog.Group("group", "value", value))
			}
			check("slog of "+name, out.String())
		}
		for _, verb := range []string{"%v", "%s", "%q", "%+v"} {
			for _, value := range []any{id, &id, exported{"n", id}, live} {
				if output := fmt.Sprintf(verb, value); !strings.Contains(output, id.Ref().String()) {
					t.Errorf("%s of a %T does not show the ref: %s", verb, value, output)
				}
			}
		}
	}
}

func TestSlogShowsTheRef(t *testing.T) {
	id := mcpsession.NewSessionID()
	var out bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		for _, value := range []any{id, id.Ref()} {
			out.Reset()
			slog.New(handler).Info("m", "session", value)
			if !strings.Contains(out.String(), id.Ref().String()) {
				t.Errorf("%T logs a %T without its ref: %s", handler, value, out.String())
			}
		}
	}
}

func TestIDsAreUnique(t *testing.T) {
	const n = 100_000
	refs := make(map[mcpsession.Ref]bool, n)
	secrets := make(map[string]bool, n)
	digests := make(map[mcpsession.Digest]bool, n)
	for i := range n {
		id := kinds[i%2].create()
		refs[id.Ref()], secrets[id.Token()[refEnd:]], digests[id.Digest()] = true, true, true
	}
	if len(refs) != n || len(secrets) != n || len(digests) != n {
		t.Errorf("%d ids have %d refs, %d secrets, %d digests", n, len(refs), len(secrets), len(digests))
	}
}

func TestRefParsesBackToItself(t *testing.T) {
	for range 1000 {
		ref := mcpsession.NewSessionID().Ref()
		got, err := mcpsession.ParseRef(ref.String())
		if err != nil || got != ref {
			t.Fatalf("ref %s parses to %s, %v", ref, got, err)
		}
		if ref.IsZero() {
			t.Fatal("the ref of a new session id is zero")
		}
	}
}

func TestMalformedRefsAreNotFound(t *testing.T) {
	id := mcpsession.NewSessionID()
	good := id.Ref().String()
	for name, text := range map[string]string{
		"empty":                  "",
		"short":                  good[1:],
		"long":                   good + "A",
		"padded":                 good + "==",
		"a token":                id.Token(),
		"1 MB":                   strings.Repeat("A", 1<<20),
		"wrong alphabet":         "+" + good[1:],
		"newline":                good[:5] + "\n" + good[6:],
		"newline after":          good + "\n",
		"non-zero trailing bits": good[:len(good)-1] + "B",
		"NUL":                    good[:5] + "\x00" + good[6:],
		"unicode":                good[:5] + "é" + good[7:],
	} {
		ref, err := mcpsession.ParseRef(text)
		if !errors.Is(err, mcpsession.ErrNotFound) || !ref.IsZero() {
			t.Errorf("%s: ref %s, error %v, want the zero ref and ErrNotFound", name, ref, err)
		}
	}
}

func FuzzParseSessionID(f *testing.F) {
	good := mcpsession.NewSessionID().Token()
	for _, seed := range []string{
		"", "s", good, good[:len(good)-1], good + "=", good[:20] + "\n" + good[21:],
		mcpsession.NewHandle().Token(), "s" + strings.Repeat("A", 44), "s" + strings.Repeat("_", 44),
		strings.Repeat("\r\n", 22) + "s", strings.Repeat("é", 22) + "s",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := mcpsession.ParseSessionID(token)
		if err != nil {
			if !errors.Is(err, mcpsession.ErrNotFound) || !id.IsZero() {
				t.Errorf("%q: ID %v, error %v", token, id, err)
			}
			return
		}
		if id.Token() != token {
			t.Errorf("%q parses, but is spelt %q", token, id.Token())
		}
		if ref, err := mcpsession.ParseRef(id.String()); err != nil || ref != id.Ref() {
			t.Errorf("the ref of %q parses to %s, %v", token, ref, err)
		}
		if _, err := mcpsession.ParseHandle(token); err == nil {
			t.Errorf("%q is a session id and a handle", token)
		}
	})
}
