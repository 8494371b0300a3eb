package config

import (
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strings"
)

// Describe writes the variables with their defaults, and what each does.
func Describe(w io.Writer) error {
	for field := range reflect.TypeFor[Config]().Fields() {
		_, err := fmt.Fprintf(w, "%s=%s\n    %s\n", field.Tag.Get("env"), field.Tag.Get("envDefault"), field.Tag.Get("what"))
		if err != nil {
			return err
		}
	}
	return nil
}

// Print writes the effective configuration as NAME=value lines, with secrets
// masked.
func (c Config) Print(w io.Writer) error {
	values := reflect.ValueOf(c)
	for field, value := range values.Fields() {
		name := field.Tag.Get("env")
		text := fmt.Sprint(value.Interface())
		if list, ok := value.Interface().([]string); ok {
			text = strings.Join(list, ",")
		}
		if _, err := fmt.Fprintf(w, "%s=%s\n", name, masked(name, text)); err != nil {
			return err
		}
	}
	return nil
}

// masked hides what may be a secret in the value of a variable: everything
// before the host of a URL, or all of a URL that cannot be read.
func masked(name, value string) string {
	if !strings.HasSuffix(name, "_URL") || value == "" {
		return value
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "(not shown: it may hold a password)"
	}
	if u.User != nil {
		u.User = url.User("***")
	}
	u.RawQuery, u.Fragment = "", ""
	return strings.ReplaceAll(u.String(), "%2A", "*")
}
