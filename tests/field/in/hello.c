#include <stdio.h>
/*+ The start. +*/
int main(void)
{
    puts("hello");
    return 0;
}
