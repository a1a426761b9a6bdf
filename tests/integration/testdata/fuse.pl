open my $f, "+<&=", 3;
my $attr = pack "Q6L10", 2, 9, 1, 0, 0, 0, 0, 0, 0, 0100755, 1, 0, 0, 0, 4096, 0;
my $root = pack "Q6L10", 1, 0, 0, 0, 0, 0, 0, 0, 0, 040755, 2, 0, 0, 0, 4096, 0;
while (sysread $f, my $in, 1 << 20) {
	my ($len, $op, $id, $node) = unpack "LLQQ", $in;
	my $out = $op == 26 ? pack("L4S2L2S2L7", 7, 31, 0, 0, 0, 0, 4096, 1, (0) x 9)
		: $op == 1 ? pack("Q4L2", 2, 0, 99, 99, 0, 0) . $attr
		: $op == 3 ? pack("QLL", 99, 0, 0) . ($node == 1 ? $root : $attr)
		: $op == 14 ? pack("QLL", 1, 1, 0) : undef;
	if ($op == 15 || $op == 25) { open my $a, ">&=", 4; syswrite $a, $op == 15 ? "r" : "f"; next }
	next if $op == 36 || $op == 2;
	syswrite $f, defined $out ? pack("LlQ", 16 + length $out, 0, $id) . $out : pack("LlQ", 16, -38, $id);
}
