/* SPDX-License-Identifier: MIT */
#pragma once

/* What a worker says that has been taken over, or whose memory a brick has overwritten. */

/* Many mistakes, each longer than a worker may say. Exits. */
void complain_at_length(void);

/* Mistakes that are no UTF-8, control a terminal and look like lines of the log. Exits. */
void complain_strangely(const char *file);

/* Packets with descriptors, also one that is empty otherwise. */
void send_descriptors(void);

/* Writes into all memory that it shares with others and into the channel what follows from the
 * seed, for about a second, and dies of it. */
_Noreturn void lie(unsigned seed);
