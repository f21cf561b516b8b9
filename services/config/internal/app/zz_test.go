package app
import ("testing";"net/http";"net";"context";"io";"strings";"os")
func BenchmarkZZ(b *testing.B){
	d, client := large(b)
	n := 0
	for b.Loop() {
		n++
		check(b, d.set(client, tenLeaves(n)...))
	}
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _,_ string)(net.Conn,error){ return net.Dial("unix", d.layout.Socket("config.metrics.sock"))}}}
	r, err := c.Get("http://x/metrics"); check(b, err)
	t, _ := io.ReadAll(r.Body)
	for _, l := range strings.Split(string(t),"\n") { if strings.Contains(l,"phase_seconds_sum")||strings.Contains(l,"phase_seconds_count")||strings.Contains(l,"process_cpu")||strings.Contains(l,"handling_seconds_sum") { b.Log(l) } }
	_ = os.Stdout
}
