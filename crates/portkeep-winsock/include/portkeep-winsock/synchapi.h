/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Events, waits and handles. A WSAEVENT is a HANDLE, so each kind of function
 * takes the events of the other.
 *
 * A handle belongs to its process and is not inherited; events have no names
 * (ERROR_NOT_SUPPORTED).
 */
#ifndef PORTKEEP_SYNCHAPI_H
#define PORTKEEP_SYNCHAPI_H
#pragma GCC system_header

#include "windows.h"

typedef struct _SECURITY_ATTRIBUTES {
	DWORD nLength;
	LPVOID lpSecurityDescriptor;
	BOOL bInheritHandle;
} SECURITY_ATTRIBUTES, *PSECURITY_ATTRIBUTES, *LPSECURITY_ATTRIBUTES;

#define CREATE_EVENT_MANUAL_RESET 0x00000001
#define CREATE_EVENT_INITIAL_SET 0x00000002
#define EVENT_MODIFY_STATE 0x0002
#define EVENT_ALL_ACCESS 0x1F0003

PORTKEEP_BEGIN_DECLS

/* An event that is not of manual reset is reset by the wait that it ends. */
HANDLE WINAPI CreateEventA(LPSECURITY_ATTRIBUTES lpEventAttributes, BOOL bManualReset,
			   BOOL bInitialState, LPCSTR lpName);
HANDLE WINAPI CreateEventW(LPSECURITY_ATTRIBUTES lpEventAttributes, BOOL bManualReset,
			   BOOL bInitialState, LPCWSTR lpName);
HANDLE WINAPI CreateEventExA(LPSECURITY_ATTRIBUTES lpEventAttributes, LPCSTR lpName, DWORD dwFlags,
			     DWORD dwDesiredAccess);
HANDLE WINAPI CreateEventExW(LPSECURITY_ATTRIBUTES lpEventAttributes, LPCWSTR lpName, DWORD dwFlags,
			     DWORD dwDesiredAccess);
#ifdef UNICODE
#define CreateEvent CreateEventW
#define CreateEventEx CreateEventExW
#else
#define CreateEvent CreateEventA
#define CreateEventEx CreateEventExA
#endif
BOOL WINAPI SetEvent(HANDLE hEvent);
BOOL WINAPI ResetEvent(HANDLE hEvent);

/* A SOCKET will do, too: it is closed as by closesocket. */
BOOL WINAPI CloseHandle(HANDLE hObject);

/*
 * One can wait for events. An alertable wait (bAlertable of the functions with Ex)
 * ends when completion routines of this thread are due, calls them and returns
 * WAIT_IO_COMPLETION. Waiting for all takes no object before all are set.
 */
DWORD WINAPI WaitForSingleObject(HANDLE hHandle, DWORD dwMilliseconds);
DWORD WINAPI WaitForSingleObjectEx(HANDLE hHandle, DWORD dwMilliseconds, BOOL bAlertable);
DWORD WINAPI WaitForMultipleObjects(DWORD nCount, const HANDLE *lpHandles, BOOL bWaitAll,
				    DWORD dwMilliseconds);
DWORD WINAPI WaitForMultipleObjectsEx(DWORD nCount, const HANDLE *lpHandles, BOOL bWaitAll,
				      DWORD dwMilliseconds, BOOL bAlertable);

VOID WINAPI Sleep(DWORD dwMilliseconds);
/* An alertable sleep ends as an alertable wait does; otherwise it returns 0. */
DWORD WINAPI SleepEx(DWORD dwMilliseconds, BOOL bAlertable);

PORTKEEP_END_DECLS

#endif /* PORTKEEP_SYNCHAPI_H */
