package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// byteSize is a flag for a number of bytes, which may end in KiB, MiB or GiB.
type byteSize int

var byteUnits = []struct {
	suffix string
	bytes  int
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}}

func (b *byteSize) Type() string { return "size" }

func (b *byteSize) String() string {
	for i := 2; i >= 0; i-- {
		if u := byteUnits[i]; int(*b) >= u.bytes && int(*b)%u.bytes == 0 {
			return strconv.Itoa(int(*b)/u.bytes) + u.suffix
		}
	}
	return strconv.Itoa(int(*b))
}

func (b *byteSize) Set(text string) error {
	number, factor := strings.TrimSpace(text), 1
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(number, u.suffix); ok {
			number, factor = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n > (1<<40)/factor {
		return fmt.Errorf("%q is no size: write a number of bytes, or one with KiB, MiB or GiB behind it", text)
	}
	*b = byteSize(n * factor)
	return nil
}

// choice is a flag that takes one of a few words.
type choice struct {
	value   *string
	choices []string
}

func (c choice) Type() string   { return strings.Join(c.choices, "|") }
func (c choice) String() string { return *c.value }

func (c choice) Set(text string) error {
	for _, word := range c.choices {
		if text == word {
			*c.value = word
			return nil
		}
	}
	return fmt.Errorf("%q is none of %s", text, strings.Join(c.choices, ", "))
}

// choiceFlag adds a flag that takes one of the words; the first one is the
// default.
func choiceFlag(flags *pflag.FlagSet, value *string, name, usage string, choices ...string) {
	*value = choices[0]
	flags.Var(choice{value, choices}, name, usage)
}

// outputFormat is how a command writes its result.
type outputFormat = string

const (
	outputText outputFormat = "text"
	outputJSON outputFormat = "json"
)

const outputFlag = "output"

func addOutputFlag(flags *pflag.FlagSet, format *outputFormat) {
	choiceFlag(flags, format, outputFlag, "how to write the result", outputText, outputJSON)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// noArguments is for commands that only take flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageErrorf(cmd, "%s takes no arguments, but was given %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// exactly is for commands that take some arguments, which have names.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageErrorf(cmd, "%s takes %s, but was given %d arguments", cmd.CommandPath(), strings.Join(names, " and "), len(args))
		}
		return nil
	}
}
