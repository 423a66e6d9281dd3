package demo

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// process is one node. At most one operating system process at a time belongs
// to it.
type process struct {
	nodePlan
	command []string
	env     []string
	out     *output

	mu      sync.Mutex
	cmd     *exec.Cmd
	exited  chan struct{} // closed when cmd has ended
	waitErr error
}

func newProcess(p nodePlan, cfg Config, dir string, out *output) *process {
	return &process{
		nodePlan: p,
		command:  append([]string{cfg.Executable}, p.args(cfg, dir)...),
		env:      environment(cfg.Color),
		out:      out,
	}
}

// environment is this process's own without what would set a node's flags.
func environment(color bool) []string {
	var env []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "BALSA_") {
			env = append(env, variable)
		}
	}
	if color {
		env = append(env, "BALSA_LOG_COLOR=always")
	}
	return env
}

// start starts the process. Its end is reported to ended.
func (p *process) start(ended chan<- *process) error {
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Env = p.env
	lines := p.out.lines(p.id)
	cmd.Stdout, cmd.Stderr = lines, lines
	endWithParent(cmd)
	started := make(chan error)
	exited := make(chan struct{})
	go func() {
		// Linux ends a child when the thread that started it ends, so that
		// thread has to stay for as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		lines.flush()
		p.mu.Lock()
		p.waitErr = err
		p.mu.Unlock()
		close(exited)
		ended <- p
	}()
	if err := <-started; err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.exited = cmd, exited
	return nil
}

// done is closed when the process has ended, or was never started.
func (p *process) done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exited == nil {
		never := make(chan struct{})
		close(never)
		return never
	}
	return p.exited
}

func (p *process) running() bool {
	select {
	case <-p.done():
		return false
	default:
		return true
	}
}

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

func (p *process) terminate() { p.signal(syscall.SIGTERM) }
func (p *process) kill()      { p.signal(os.Kill) }

// signal does nothing if the process has ended.
func (p *process) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s)
	}
}

// howEnded says how the process ended, such as "signal: killed".
func (p *process) howEnded() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waitErr == nil {
		return "exit status 0"
	}
	return p.waitErr.Error()
}

// commandLine is what a shell needs to start the node again.
func (p *process) commandLine() string {
	words := make([]string, len(p.command))
	for i, word := range p.command {
		words[i] = quote(word)
	}
	return strings.Join(words, " ")
}

// quote makes one word of a shell's command line.
func quote(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+:,./@%"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return fmt.Sprintf("'%s'", strings.ReplaceAll(word, "'", `'\''`))
}
