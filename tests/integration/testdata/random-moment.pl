# Starts a program many times, sends it SIGTERM or SIGKILL at a random moment of its first 5 ms,
# waits until nobody holds its standard output any more, and says how it ended.
use POSIX;
use Time::HiRes "time";

my ($program, $runs, @args) = @ARGV;
my %ended;
$SIG{ALRM} = sub { print "hangs\n"; POSIX::_exit(1) };
for my $i (1 .. $runs) {
	alarm 30;
	my $sig = $i % 2 ? 15 : 9;
	my $at = rand 0.005;
	pipe(my $held, my $holds);
	pipe(my $go, my $begin);
	my $pid = fork;
	if (!$pid) {
		open STDOUT, ">&", $holds;
		close $begin;
		sysread $go, my $b, 1;
		exec $program, @args or POSIX::_exit(1);
	}
	close $holds;
	close $go;
	my $begun = time;
	close $begin;
	1 while time - $begun < $at;
	kill $sig, $pid;
	waitpid $pid, 0;
	my $status = $?;
	sysread $held, my $b, 1;
	my $how = $status & 127 ? "signal " . ($status & 127) : "status " . ($status >> 8);
	$ended{"$sig $how"}++;
}

# One that notices the end of its front needs a processor to end on.
my $ours = qr/\((keeper|supervisor|planner)\) [^ZX]/;
for (1 .. 1000) {
	last unless grep { open my $f, "<", "$_/stat" and <$f> =~ $ours } glob "/proc/[0-9]*";
	select undef, undef, undef, 0.01;
}
print "$_\n" for sort keys %ended;
print STDERR "$_: $ended{$_}\n" for sort keys %ended;
