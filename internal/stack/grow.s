#include "textflag.h"
#include "funcdata.h"

// func Grow(): wants a large frame, for which the runtime makes room before it begins, and returns.
TEXT ·Grow(SB),0,$9216-0
	NO_LOCAL_POINTERS
	RET
