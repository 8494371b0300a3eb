// Command mcpsession is an MCP server that keeps each client's working
// directory and project apart, alone or as any number of replicas that share
// their sessions through Redis. Run mcpsession --help.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/mcpsession/mcpsession/config"
	"github.com/urfave/cli/v3"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := command().Run(ctx, os.Args); err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(os.Stderr, "mcpsession: %s\n", strings.TrimSpace(line))
		}
		os.Exit(1)
	}
}

func command() *cli.Command {
	root := &cli.Command{
		Name:            "mcpsession",
		Usage:           "an MCP server whose sessions any replica can serve",
		UsageText:       "mcpsession [command]",
		Description:     variables(),
		HideHelpCommand: true,
		Action:          configured(serve),
		Commands: []*cli.Command{
			{Name: "serve", Usage: "serve MCP over Streamable HTTP (the default)", Action: configured(serve)},
			{Name: "stdio", Usage: "serve one MCP client over standard input and output", Action: configured(stdio)},
			{Name: "healthcheck", Usage: "ask the server at LISTEN_ADDR whether it lives; exit 0 if so", Action: configured(healthcheck)},
			{Name: "config", Usage: "print the effective configuration, secrets masked", Action: configured(printConfig)},
			{Name: "version", Usage: "print the version", Action: withoutArguments(func(context.Context) error {
				_, err := fmt.Println("mcpsession", versionText())
				return err
			})},
		},
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
	}
	// Errors are printed once, by main, and nothing of them on standard output,
	// which may be the protocol's.
	for _, c := range append(root.Commands, root) {
		c.OnUsageError = func(_ context.Context, _ *cli.Command, err error, _ bool) error { return err }
	}
	return root
}

// configured makes an action of a function that needs the configuration.
func configured(run func(context.Context, config.Config) error) cli.ActionFunc {
	return withoutArguments(func(ctx context.Context) error {
		c, err := config.Load(os.Environ())
		if err != nil {
			return err
		}
		return run(ctx, c)
	})
}

func withoutArguments(run func(context.Context) error) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) error {
		if c.Args().Present() {
			return fmt.Errorf("%q is not a command or not an argument that one takes; see mcpsession --help", c.Args().First())
		}
		return run(ctx)
	}
}

func printConfig(_ context.Context, c config.Config) error { return c.Print(os.Stdout) }

func variables() string {
	var text strings.Builder
	text.WriteString("Everything is configured by environment variables, with these defaults:\n\n")
	if err := config.Describe(&text); err != nil {
		return err.Error()
	}
	return text.String()
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
