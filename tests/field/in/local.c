#include "text"
