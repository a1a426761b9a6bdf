# tree.pl MARK [ESCAPEES [LINES]]: a tree that does not want to end.
#
# ESCAPEES processes get away from their parent in turn by setsid, a double fork, and a process group of their own; every other one
# ignores SIGTERM. LINES lines of descent fork and exit as fast as they can. MARK is in everybody's arguments. When all are there,
# "ready" is written to standard output, and the root waits for ever.
use strict;
use POSIX qw(setsid setpgid pause);

my ($mark, $escapees, $lines) = (@ARGV, 0, 0);
$0 = "tree $mark";
pipe(my $up, my $down) or die;

for my $i (1 .. $escapees) {
    next if fork;
    close $up;
    if    ($i % 3 == 0) { setsid() }
    elsif ($i % 3 == 1) { setsid(); exit if fork }
    else                { setpgid(0, 0) }
    $SIG{TERM} = 'IGNORE' if $i % 2;
    syswrite $down, "x";
    close $down;
    pause() while 1;
}
for (1 .. $lines) {
    next if fork;
    close $up;
    syswrite $down, "x";
    close $down;
    while (1) { my $pid = fork; exit if !defined $pid || $pid }
}
close $down;
my $here = 0;
$here += sysread($up, my $buf, 1) // 0 while $here < $escapees + $lines;
syswrite STDOUT, "ready\n";
close STDOUT;
pause() while 1;
