/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Microsoft's annotations of parameters. Nothing here reads them.
 *
 * The older ones (__in, __out) are left out: the C++ library has parameters of these names.
 */
#ifndef PORTKEEP_SAL_H
#define PORTKEEP_SAL_H
#pragma GCC system_header

#define _In_
#define _In_opt_
#define _In_z_
#define _In_opt_z_
#define _Out_
#define _Out_opt_
#define _Outptr_
#define _Outptr_opt_
#define _Outptr_result_maybenull_
#define _Outptr_result_z_
#define _Outptr_opt_result_maybenull_
#define _COM_Outptr_
#define _Inout_
#define _Inout_opt_
#define _Inout_z_
#define _Inout_opt_z_
#define _Ret_maybenull_
#define _Ret_notnull_
#define _Ret_z_
#define _Must_inspect_result_
#define _Check_return_
#define _Pre_
#define _Post_
#define _Null_
#define _Notnull_
#define _Maybenull_
#define _Valid_
#define _Pre_valid_
#define _Post_valid_
#define _Pre_maybenull_
#define _Post_invalid_
#define _Pre_notnull_
#define _Null_terminated_
#define _NullNull_terminated_
#define _Reserved_
#define _Const_
#define _Printf_format_string_
#define _Scanf_format_string_
#define _Field_z_
#define _Use_decl_annotations_
#define _Points_to_data_
#define _IRQL_requires_same_
#define _Interlocked_
#define _Prepost_z_
#define _Frees_ptr_
#define _Frees_ptr_opt_
#define _Post_ptr_invalid_

#define _In_reads_(a)
#define _In_reads_opt_(a)
#define _In_reads_z_(a)
#define _In_reads_opt_z_(a)
#define _In_reads_bytes_(a)
#define _In_reads_bytes_opt_(a)
#define _In_reads_or_z_(a)
#define _Out_writes_(a)
#define _Out_writes_opt_(a)
#define _Out_writes_z_(a)
#define _Out_writes_opt_z_(a)
#define _Out_writes_all_(a)
#define _Out_writes_all_opt_(a)
#define _Out_writes_bytes_(a)
#define _Out_writes_bytes_opt_(a)
#define _Out_writes_bytes_all_(a)
#define _Outptr_result_buffer_(a)
#define _Outptr_result_bytebuffer_(a)
#define _Outptr_result_buffer_maybenull_(a)
#define _Inout_updates_(a)
#define _Inout_updates_opt_(a)
#define _Inout_updates_z_(a)
#define _Inout_updates_all_(a)
#define _Inout_updates_bytes_(a)
#define _Inout_updates_bytes_opt_(a)
#define _Success_(a)
#define _Return_type_success_(a)
#define _On_failure_(a)
#define _Always_(a)
#define _Field_size_(a)
#define _Field_size_opt_(a)
#define _Field_size_bytes_(a)
#define _Field_size_bytes_opt_(a)
#define _Field_size_full_(a)
#define _Field_size_bytes_full_(a)
#define _Struct_size_bytes_(a)
#define _Pre_satisfies_(a)
#define _Post_satisfies_(a)
#define _Pre_readable_size_(a)
#define _Pre_writable_size_(a)
#define _Post_readable_size_(a)
#define _Readable_bytes_(a)
#define _Writable_bytes_(a)
#define _Ret_writes_(a)
#define _Ret_writes_z_(a)
#define _Ret_writes_bytes_(a)
#define _Ret_writes_maybenull_(a)
#define _Acquires_lock_(a)
#define _Acquires_exclusive_lock_(a)
#define _Acquires_shared_lock_(a)
#define _Releases_lock_(a)
#define _Releases_exclusive_lock_(a)
#define _Releases_shared_lock_(a)
#define _Requires_lock_held_(a)
#define _Requires_lock_not_held_(a)
#define _Requires_exclusive_lock_held_(a)
#define _Guarded_by_(a)
#define _Function_class_(a)
#define _IRQL_requires_(a)
#define _IRQL_requires_max_(a)
#define _IRQL_requires_min_(a)
#define _Analysis_assume_(a)
#define _Post_equal_to_(a)

#define _Out_writes_to_(a, b)
#define _Out_writes_to_opt_(a, b)
#define _Out_writes_bytes_to_(a, b)
#define _Out_writes_bytes_to_opt_(a, b)
#define _Outptr_result_buffer_to_(a, b)
#define _Inout_updates_to_(a, b)
#define _Inout_updates_to_opt_(a, b)
#define _Inout_updates_bytes_to_opt_(a, b)
#define _Inout_updates_bytes_to_(a, b)
#define _When_(a, b)
#define _At_(a, b)
#define _In_range_(a, b)
#define _Out_range_(a, b)
#define _Ret_range_(a, b)
#define _Field_range_(a, b)
#define _Deref_out_range_(a, b)
#define _Deref_in_range_(a, b)
#define _Field_size_part_(a, b)
#define _Field_size_bytes_part_(a, b)
#define _Group_range_(a, b)

#endif /* PORTKEEP_SAL_H */
