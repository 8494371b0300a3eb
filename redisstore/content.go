package redisstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/mcpsession/mcpsession"
)

// The content of a stored session is its text fields, in the order of texts
// below, each as a netstring (LENGTH:TEXT, with the length in bytes), then its
// lists, each as a netstring of a JSON list, or of nothing, and then the
// application's values as one JSON object, or nothing. Every read decodes it,
// and JSON throughout took as long as the server took for the read.

// texts returns the text fields of s in the order in which they are stored.
func texts(s *mcpsession.Session) [9]*string {
	return [...]*string{
		&s.Owner, &s.WorkingDirectory, &s.ConfigPath, &s.ProjectID, &s.LogLevel,
		&s.Client.Name, &s.Client.Version, &s.Client.ProtocolVersion, &s.Client.Capabilities,
	}
}

// lists returns the lists of s in the order in which they are stored.
func lists(s *mcpsession.Session) [2]*[]string {
	return [...]*[]string{&s.Tools, &s.Subscriptions}
}

func encodeContent(s mcpsession.Session) (string, error) {
	var buf bytes.Buffer
	for _, text := range texts(&s) {
		writeNetstring(&buf, *text)
	}
	for _, list := range lists(&s) {
		var text []byte
		if len(*list) > 0 {
			var err error
			if text, err = json.Marshal(*list); err != nil {
				return "", fmt.Errorf("encode the session's lists: %w", err)
			}
		}
		writeNetstring(&buf, string(text))
	}
	if len(s.Values) > 0 {
		e := json.NewEncoder(&buf)
		e.SetEscapeHTML(false) // keeps the application's JSON as it is
		if err := e.Encode(s.Values); err != nil {
			return "", fmt.Errorf("encode the session's values: %w", err)
		}
	}
	return strings.TrimSuffix(buf.String(), "\n"), nil
}

// decodeContent keeps s itself from JSON, which would move it to the heap for
// every read, of sessions without lists and values too.
func decodeContent(content string, s *mcpsession.Session) error {
	var ok bool
	for _, text := range texts(s) {
		if *text, content, ok = cutNetstring(content); !ok {
			return fmt.Errorf("%w: a text field is malformed", errCorrupt)
		}
	}
	for _, list := range lists(s) {
		var text string
		if text, content, ok = cutNetstring(content); !ok {
			return fmt.Errorf("%w: a list is malformed", errCorrupt)
		}
		if text == "" {
			continue
		}
		var items []string
		if err := json.Unmarshal([]byte(text), &items); err != nil {
			return fmt.Errorf("%w: a list: %w", errCorrupt, err)
		}
		*list = items
	}
	if content == "" {
		return nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal([]byte(content), &values); err != nil {
		return fmt.Errorf("%w: its values: %w", errCorrupt, err)
	}
	s.Values = values
	return nil
}

func writeNetstring(buf *bytes.Buffer, text string) {
	buf.WriteString(strconv.Itoa(len(text)))
	buf.WriteByte(':')
	buf.WriteString(text)
	buf.WriteByte(',')
}

// cutNetstring takes the first netstring off content.
func cutNetstring(content string) (text, rest string, ok bool) {
	length, rest, ok := strings.Cut(content, ":")
	n, err := strconv.ParseUint(length, 10, 31)
	if !ok || err != nil || uint64(len(rest)) <= n || rest[n] != ',' {
		return "", content, false
	}
	return rest[:n], rest[n+1:], true
}
