// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package tables is the memory that the XDP program and the daemon share: Go's view of
// dataplane/bpf/structs.h, generated from it, and of the maps that hold it.
//
// Memory is written by one process at a time, the holder of the engine; the program only reads it,
// counters excepted. Nothing here locks: the engine orders all writes and publishes them by one atomic
// store of the generation word.
package tables

// The shared types. Their fields are described in dataplane/bpf/structs.h.
type (
	Line            = routerLine
	Header          = routerHeader
	Control         = routerControl
	Port            = routerPort
	Adjacency       = routerAdjacency
	Tables          = routerTables
	Shadow          = routerShadow
	CPUCounters     = routerCpuCounters
	PortCounters    = routerPortCounters
	NextHopCounters = routerNextHopCounters
	Reason          = routerReason
)

// Sizes and limits of the shared memory.
const (
	UnitBytes          = int(routerLimitUNIT_BYTES)
	ArenaUnits         = int(routerLimitARENA_UNITS)
	ShadowUnitBytes    = int(routerLimitSHADOW_UNIT_BYTES)
	ShadowUnits        = int(routerLimitSHADOW_UNITS)
	PortIndex          = int(routerLimitPORT_INDEX)
	MaxPorts           = int(routerLimitMAX_PORTS)
	MaxAdjacencies     = int(routerLimitMAX_ADJACENCIES)
	MaxNextHopCounters = int(routerLimitMAX_NEXT_HOP_COUNTERS)
	MaxGroups          = int(routerLimitMAX_GROUPS)
	GroupsPerPage      = int(routerLimitGROUPS_PER_PAGE)
	LeafBytesPerLine   = int(routerLimitLEAF_BYTES_PER_LINE)
)

// Kinds of a reference, shifted into place; the other bits are a group slot or a unit.
const (
	KindMask       = uint32(7) << KindShift
	KindShift      = uint32(routerRefKindKIND_SHIFT)
	KindLeaf       = uint32(routerRefKindKIND_LEAF) << KindShift
	KindByte       = uint32(routerRefKindKIND_BYTE) << KindShift
	KindByteLong   = uint32(routerRefKindKIND_BYTE_LONG) << KindShift
	KindNarrow     = uint32(routerRefKindKIND_NARROW) << KindShift
	KindNarrowLong = uint32(routerRefKindKIND_NARROW_LONG) << KindShift
	KindWide       = uint32(routerRefKindKIND_WIDE) << KindShift
	KindWideLong   = uint32(routerRefKindKIND_WIDE_LONG) << KindShift
	KindDense      = uint32(routerRefKindKIND_DENSE) << KindShift
)

// Fields of a group word and of a bucket.
const (
	GroupLogShift       = int(routerGroupBitsGROUP_LOG_SHIFT)
	GroupActionShift    = int(routerGroupBitsGROUP_ACTION_SHIFT)
	BucketAdjacencyMask = uint32(routerGroupBitsBUCKET_ADJACENCY_MASK)
	BucketMemberShift   = int(routerGroupBitsBUCKET_MEMBER_SHIFT)
	MaxBucketsLog       = int(routerGroupBitsMAX_BUCKETS_LOG)
	MaxMembers          = int(routerGroupBitsMAX_MEMBERS)
	PortEnabled         = uint16(routerPortFlagPORT_ENABLED)
	PortCanary          = uint16(routerPortFlagPORT_CANARY)
	AdjacencyResolved   = uint16(routerAdjacencyFlagADJACENCY_RESOLVED)
	ActionNone          = uint8(routerActionACTION_NONE)
	ActionForward       = uint8(routerActionACTION_FORWARD)
	ActionDrop          = uint8(routerActionACTION_DROP)
	ActionLocal         = uint8(routerActionACTION_LOCAL)
	ActionConnected     = uint8(routerActionACTION_CONNECTED)
	ReasonForwarded     = routerReasonREASON_FORWARDED
	ReasonCanary        = routerReasonREASON_PUNT_CANARY
	ReasonFirstDrop     = routerReasonREASON_DROP_RUNT
	ReasonRedirect      = routerReasonREASON_DROP_REDIRECT
	ReasonCount         = routerReasonREASON_COUNT
)

// ReservedUnits at the arena's start stay zero for ever: reference 0 and an absent page of groups point there.
const ReservedUnits = GroupsPerPage * 8 / UnitBytes
