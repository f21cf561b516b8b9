// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// The keys in etcd. A table's name holds no "/", so no table's prefix is a prefix of another's.
const (
	rowsPrefix   = "t/"
	tablesPrefix = "m/table/"
	fencePrefix  = "m/fence/"
	donePrefix   = "m/done/"
	leasePrefix  = "m/lease/"
	canaryKey    = "m/canary"
)

func tablePrefix(table string) string      { return rowsPrefix + table + "/" }
func rowKey(table, key string) string      { return tablePrefix(table) + key }
func tableKey(table string) string         { return tablesPrefix + table }
func fenceKey(writer string) string        { return fencePrefix + writer }
func doneOf(writer string) string          { return donePrefix + writer + "/" }
func doneKey(writer, client string) string { return doneOf(writer) + client }
func leaseKey(id int64) string             { return leasePrefix + strconv.FormatInt(id, 10) }
func prefixEnd(prefix string) string       { return clientv3.GetPrefixRangeEnd(prefix) }

// The limits, as they are named in refusals.
const (
	// MaxOperations and MaxConditions bound one transaction.
	MaxOperations = 20_000
	MaxConditions = 20_000
	// MaxTransactionBytes bounds a transaction as it is sent.
	MaxTransactionBytes = 15 << 20
	maxKeyBytes         = 1024
	maxTableNameBytes   = 64
	maxTables           = 256
	maxDescriptorBytes  = 1 << 20
	maxClientBytes      = 128
	// maxClients is how many clients of one writer have their last outcome remembered.
	maxClients = 256
	maxWatches = 1024
	maxTTL     = 24 * 60 * 60
)

func checkKey(key string) error {
	if len(key) > maxKeyBytes {
		return fmt.Errorf("%w: key of %d bytes, the limit is %d (key bytes)", ErrLimit, len(key), maxKeyBytes)
	}
	return nil
}
