package main

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// longestPassword is how much of a line of standard input is read, in bytes; the accounts
// have a lower limit of their own.
const longestPassword = 64 << 10

// readPassword asks for a password twice at a terminal, or reads the first line of
// standard input.
func readPassword(cmd *cobra.Command, who string) (string, error) {
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return promptPassword(int(f.Fd()), who)
	}
	line, err := bufio.NewReaderSize(in, longestPassword).ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return "", fail(exitUsage, "the password on standard input is too long")
	}
	text := strings.TrimRight(string(line), "\r\n")
	if text == "" {
		return "", fail(exitUsage, "there is no password on standard input")
	}
	return text, nil
}

func promptPassword(fd int, who string) (string, error) {
	defer restoreOnInterrupt(fd)()
	fmt.Fprintf(os.Stderr, "Password for %s: ", who)
	first, err := term.ReadPassword(fd)
	if err != nil {
		return "", fail(exitFailed, "the password cannot be read: %v", err)
	}
	fmt.Fprint(os.Stderr, "\nAgain: ")
	second, err := term.ReadPassword(fd)
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return "", fail(exitFailed, "the password cannot be read: %v", err)
	}
	if string(first) != string(second) {
		return "", fail(exitFailed, "the two passwords differ")
	}
	return string(first), nil
}

// restoreOnInterrupt gives the terminal its echo back where somebody interrupts the
// prompt. The function that it returns ends that.
func restoreOnInterrupt(fd int) func() {
	state, err := term.GetState(fd)
	if err != nil {
		return func() {}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		if _, ok := <-signals; ok {
			term.Restore(fd, state)
			fmt.Fprintln(os.Stderr)
			os.Exit(exitFailed)
		}
	}()
	return func() { signal.Stop(signals); close(signals) }
}
