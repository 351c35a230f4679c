// Command parley is an XMPP server: one binary that serves, and the commands to look
// after it.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// version is set when a release is built.
var version = "0.1.0-dev"

// Exit codes, for scripts.
const (
	exitOK       = 0
	exitFailed   = 1 // something went wrong
	exitUsage    = 2 // the command line is wrong
	exitConfig   = 3 // the configuration is wrong
	exitNotFound = 4 // there is no such account, session or room
	exitExists   = 5 // the account or room exists already
	exitDown     = 6 // the server is not running, and the command needs it
)

// A failure is an error with an exit code.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(code int, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	root := rootCommand()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(os.Stderr, "parley: "+strings.TrimSpace(err.Error()))
	var f *failure
	var c *configError
	switch {
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &c):
		return exitConfig
	}
	return exitUsage // cobra's own errors are about the command line
}

// options are the flags that every command has.
type options struct {
	config string
	data   string
	json   bool
}

// load reads the configuration that the flags and the environment name.
func (o *options) load() (Config, error) {
	file := o.config
	if file == "" {
		file = os.Getenv("PARLEY_CONFIG")
	}
	if file == "" {
		if _, err := os.Stat("parley.toml"); err == nil {
			file = "parley.toml"
		}
	}
	o.config = file
	cfg, err := loadConfig(file, os.Environ())
	if err == nil && o.data != "" {
		cfg.Data = o.data
	}
	return cfg, err
}

func rootCommand() *cobra.Command {
	o := &options{}
	root := group("parley", "An XMPP server")
	root.Long = `Parley is an XMPP server.

    parley serve                      start it; no configuration is needed
    parley user add juliet@localhost  make an account, also while it runs
    parley config example             print every setting with its explanation

The configuration is read from the file that --config or PARLEY_CONFIG names, else from
parley.toml in the working directory, if there is one. Every setting can also be given as an
environment variable: c2s.listen is PARLEY_C2S_LISTEN.

Exit codes: 0 done, 1 failed, 2 wrong command line, 3 wrong configuration, 4 no such account,
session or room, 5 the account exists, 6 the server is not running.`
	root.SilenceUsage, root.SilenceErrors = true, true
	f := root.PersistentFlags()
	f.StringVarP(&o.config, "config", "c", "", "configuration file")
	f.StringVar(&o.data, "data", "", "data directory (instead of the configured one)")
	f.BoolVar(&o.json, "json", false, "print JSON")
	root.AddCommand(serveCommand(o), userCommand(o), sessionCommand(o), s2sCommand(o), componentCommand(o), roomCommand(o), archiveCommand(o), uploadCommand(o), configCommand(o), certCommand(o),
		webCommand(o), announceCommand(o), backupCommand(o), reloadCommand(o), versionCommand(o))
	return root
}

// group is a command that only has others below it. A name that is none of them is an
// error, not a request for help.
func group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
			var names []string
			for _, sub := range cmd.Commands() {
				names = append(names, sub.Name())
			}
			if near := nearest(args[0], names); near != "" {
				text += fmt.Sprintf("; did you mean %q?", near)
			}
			return fail(exitUsage, "%s", text)
		},
	}
}

// plainly makes a failure of an error of the packages below: without the package's name,
// which the operator need not know.
func plainly(err error) error { return fail(codeOf(err), "%s", plainText(err)) }

func plainText(err error) string {
	return strings.NewReplacer("storage: ", "", "auth: ", "").Replace(err.Error())
}

func versionCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versionInfo()
			return o.print(cmd, v, func() {
				fmt.Fprintf(cmd.OutOrStdout(), "parley %s (%s, SQLite %s)\n", v.Version, v.Go, v.SQLite)
			})
		},
	}
}
