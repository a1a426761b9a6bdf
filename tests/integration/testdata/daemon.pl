# daemon.pl FILE: leaves a daemon behind that needs 800 ms for a clean end after SIGTERM and then writes FILE; exits with 3.
use strict;
use POSIX qw(setsid);

my $file = shift;
pipe(my $up, my $down) or die;
if (!fork) {
    setsid();
    $SIG{TERM} = sub {
        select undef, undef, undef, 0.8;
        open my $f, '>', $file or die;
        print $f "clean";
        close $f;
        exit 0;
    };
    close $up;
    close $down;
    select undef, undef, undef, 0.05 while 1;
}
close $down;
sysread $up, my $buf, 1; # until the daemon is ready
exit 3;
