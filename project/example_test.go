package project_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/mcpsession/mcpsession/project"
)

func Example() {
	checkout, err := os.MkdirTemp("", "checkout")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(checkout)
	source := filepath.Join(checkout, "cmd", "app")
	if err := os.MkdirAll(source, 0o755); err != nil {
		log.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(checkout, ".codebase-mcp"), 0o755); err != nil {
		log.Fatal(err)
	}
	config := `{"version": "1.0", "project": {"name": "my-app"}}`
	if err := os.WriteFile(filepath.Join(checkout, ".codebase-mcp", "config.json"), []byte(config), 0o644); err != nil {
		log.Fatal(err)
	}

	finder, err := project.NewFinder(project.FinderOptions{Roots: []string{checkout}})
	if err != nil {
		log.Fatal(err)
	}
	found, err := finder.Find(context.Background(), source)
	if err != nil {
		log.Fatal(err)
	}

	resolver := project.Resolver{Default: "playground"}
	for _, id := range []string{"", "another"} {
		resolution, err := resolver.Resolve(context.Background(), id, &found.Config)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(resolution.ProjectID, "from", resolution.Source)
	}
	resolution, err := resolver.Resolve(context.Background(), "", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resolution.ProjectID, "from", resolution.Source)
	// Output:
	// my-app from config
	// another from explicit
	// playground from default
}
