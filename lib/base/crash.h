/*
 * Named points at which a test build can die as by kill -9, to walk through every moment of a
 * record's way (fault F131). Nothing at all unless built with -DHEADGATE_CRASHPOINTS.
 *
 *   HEADGATE_CRASH_AT=NAME:K  the K-th passing of that point is the process's last act (from 1)
 *   HEADGATE_CRASH_COUNT=FILE each point's name is appended, one a line, in the order passed
 *   HEADGATE_CRASH_ONCE=FILE  only the first process to create FILE dies: its successor lives
 */
#ifndef LIB_BASE_CRASH_H
#define LIB_BASE_CRASH_H

#ifdef HEADGATE_CRASHPOINTS
void crash_point(const char *name);
#define CRASHPOINT(name) crash_point(name)
#else
#define CRASHPOINT(name) ((void)0)
#endif

#endif
