	list p=16f84
	#include <p16f84.inc>
	org 0
loop	movlw 1
	movwf PORTA
	goto loop
	end
