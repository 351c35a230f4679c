package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/BurntSushi/toml"
	sqlite3 "github.com/mattn/go-sqlite3"
	"github.com/spf13/cobra"
)

// print writes v as JSON where --json asks for it, else what human does.
func (o *options) print(cmd *cobra.Command, v any, human func()) error {
	if !o.json {
		human()
		return nil
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

type versions struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	SQLite  string `json:"sqlite"`
}

func versionInfo() versions {
	lib, _, _ := sqlite3.Version()
	v := versions{version, runtime.Version(), lib}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Version += "+" + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return v
}

func configCommand(o *options) *cobra.Command {
	c := group("config", "Explain, check and show the configuration")
	c.AddCommand(&cobra.Command{
		Use: "example", Short: "Print every setting with its explanation and default", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { writeExample(cmd.OutOrStdout()) },
	}, &cobra.Command{
		Use: "check", Short: "Check the configuration", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			notes, err := checkFiles(cfg)
			if err != nil {
				return &configError{file: o.config, text: err.Error()}
			}
			return o.print(cmd, map[string]any{"ok": true, "file": o.config, "notes": notes}, func() {
				for _, note := range notes {
					fmt.Fprintln(cmd.OutOrStdout(), "note: "+note)
				}
				if o.config == "" {
					fmt.Fprintln(cmd.OutOrStdout(), "no configuration file; the defaults and the environment are in order")
					return
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is in order\n", o.config)
			})
		},
	}, &cobra.Command{
		Use: "show", Short: "Print the settings in force: defaults, file and environment together", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			var text strings.Builder
			if err := toml.NewEncoder(&text).Encode(cfg); err != nil {
				return fail(exitFailed, "%v", err)
			}
			var named map[string]any // JSON with the names and durations of the file
			if _, err := toml.Decode(text.String(), &named); err != nil {
				return fail(exitFailed, "%v", err)
			}
			return o.print(cmd, named, func() { fmt.Fprint(cmd.OutOrStdout(), text.String()) })
		},
	})
	return c
}

func backup(ctx context.Context, h *house, args arguments) (any, error) {
	if err := h.store.Backup(ctx, args["path"]); err != nil {
		return nil, err
	}
	h.log.Info("backup written", "path", args["path"])
	return args["path"], nil
}

func backupCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Write a consistent copy of the database to a new file, also while the server runs",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0]) // the server has another working directory
			if err != nil {
				return fail(exitFailed, "%v", err)
			}
			var written string
			if err := o.call(cmd.Context(), "backup", arguments{"path": path}, &written); err != nil {
				return err
			}
			return o.print(cmd, map[string]string{"file": written}, func() {
				fmt.Fprintf(cmd.OutOrStdout(), "%s written; to restore, stop the server, remove parley.db-wal and parley.db-shm if they\nare there, and put the copy in place of parley.db\n", written)
			})
		},
	}
}

// reload is what parley reload does. The log has it as well: it is where one looks when
// something has changed.
func reload(_ context.Context, h *house, _ arguments) (any, error) {
	done, err := h.reload()
	if err != nil {
		h.log.Error("the configuration was not reloaded; the old one stays in force", "by", operator, "error", err)
		return done, err
	}
	h.log.Info("reloaded", "by", operator, "need_restart", strings.Join(done.NeedRestart, " "))
	return done, nil
}

func reloadCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Have the running server read its configuration and certificates again (as SIGHUP)",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var done reloaded
			if err := o.call(cmd.Context(), "reload", nil, &done); err != nil {
				return err
			}
			return o.print(cmd, done, func() {
				fmt.Fprintln(cmd.OutOrStdout(), "reloaded")
				for _, key := range done.NeedRestart {
					fmt.Fprintf(cmd.OutOrStdout(), "%s has changed and needs a restart\n", key)
				}
			})
		},
	}
}
