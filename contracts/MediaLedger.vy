# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title MediaLedger
@license Apache-2.0
@author The veilmark developers
@notice Makes statements about media files permanent and datable: anchors of transparency-log checkpoints,
        single records (ERC-7053), records relayed for a signer without ether (EIP-712), and batches.
@dev No owner, no upgrade, no ether held, no call to any other contract (only the precompiles SHA-256 and
     ecrecover). Each caller writes under its own address only, and nothing that was written can be changed
     or deleted. Runtime code holds no immutables, so the code at a deployed address equals the published
     runtime bytecode byte for byte.

     What is stored can be proved from the state trie (eth_getProof); what is only emitted can be proved from
     a block's receipts. Storage layout, `slot` as in the published layout, HashMap keys hashed as
     keccak256(slot . key):
       roots[owner][log_id][size]      -> RFC 9162 tree root, never zero once written
       heads[owner][log_id]            -> size | count << 64 | block << 128 | timestamp << 192
       batches[recorder][root]         -> size | block << 64 | timestamp << 128
       withdrawals[recorder][id_hash]  -> block | timestamp << 64
       nonce_bitmaps[recorder][word]   -> one bit per used nonce

     A failing call reverts with an ABI-encoded custom error that carries the values it was about.
"""

# ---------------------------------------------------------------------------------------------------------
# Errors: ABI-encoded like Solidity's, so that tools show their values. The compile script puts each line
# that starts with "# error" into the ABI.
# ---------------------------------------------------------------------------------------------------------

# error ZeroRoot(): a root hash of zero is no tree
# error ZeroSize(): a batch has at least one record
# error SizeNotGreater(uint64 anchored, uint64 given): an anchor must extend the log: the last anchored size, and the size that was given
# error BatchExists(address recorder, bytes32 root, uint64 block_number): this batch was recorded before, in that block
# error AlreadyWithdrawn(address recorder, bytes32 id_hash, uint64 block_number): this was withdrawn before, in that block
# error SignatureExpired(uint256 deadline, uint256 timestamp): the block is later than the signature allows
# error SignatureNotLowS(bytes32 s): the signature is the malleable twin of a proper one
# error SignerMismatch(address recovered, address recorder): another key signed (zero: none could be recovered), or other values were signed
# error NonceUsed(address recorder, uint256 nonce): this nonce was used or invalidated before

# ---------------------------------------------------------------------------------------------------------
# Events
# ---------------------------------------------------------------------------------------------------------

# @dev ERC-7053. `assetCid` is indexed: its topic is keccak256 of the string.
event Commit:
    recorder: indexed(address)
    assetCid: indexed(String[128])
    commitData: String[2048]

# @dev The recorder takes back what it said about `assetCid`. The record itself stays.
event Withdraw:
    recorder: indexed(address)
    assetCid: indexed(String[128])
    reason: String[256]

# @dev A log's checkpoint. `content` is the SHA-256 of the signed checkpoint: its CIDv1 is raw, sha2-256.
event Anchor:
    owner: indexed(address)
    log_id: indexed(bytes32)
    size: indexed(uint64)
    root: bytes32
    content: bytes32

# @dev `size` records at once, as the leaves of an RFC 9162 tree.
event CommitBatch:
    recorder: indexed(address)
    root: indexed(bytes32)
    size: uint64
    content: bytes32

# @dev Opt-in look-up. topic1 = keccak256(base64 of the value), topic2 = keccak256(algorithm name),
#      topic3 = publisher; `message` is JSON: {"endpoints": [URI, ...], "manifestId": "..."}.
event SoftBinding:
    value: indexed(String[512])
    alg: indexed(String[128])
    recorder: indexed(address)
    message: String[1024]

# @dev Bits of `mask` were marked as used by the recorder itself.
event NoncesInvalidated:
    recorder: indexed(address)
    word: indexed(uint256)
    mask: uint256

# ---------------------------------------------------------------------------------------------------------
# Constants
# ---------------------------------------------------------------------------------------------------------

NAME: constant(String[11]) = "MediaLedger"
VERSION: constant(String[1]) = "1"

DOMAIN_TYPEHASH: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
COMMIT_TYPEHASH: constant(bytes32) = keccak256(
    "Commit(address recorder,string assetCid,string commitData,uint256 nonce,uint256 deadline)"
)
WITHDRAW_TYPEHASH: constant(bytes32) = keccak256(
    "Withdraw(address recorder,string assetCid,string reason,uint256 nonce,uint256 deadline)"
)

# Half the order of secp256k1: for each valid (r, s) there is also (r, n - s); only the lower one counts.
HALF_N: constant(bytes32) = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0

MAX_PROOF: constant(uint256) = 64
MASK64: constant(uint256) = 2**64 - 1

# ---------------------------------------------------------------------------------------------------------
# State
# ---------------------------------------------------------------------------------------------------------

# @dev owner -> log -> size -> root hash of the log's first `size` entries.
roots: HashMap[address, HashMap[bytes32, HashMap[uint64, bytes32]]]
# @dev owner -> log -> the last anchor, packed in one slot: size, number of anchors, block, timestamp.
heads: HashMap[address, HashMap[bytes32, uint256]]
# @dev recorder -> root -> size, block and timestamp, packed.
batches: HashMap[address, HashMap[bytes32, uint256]]
# @dev recorder -> keccak256(identifier) -> block and timestamp of the withdrawal, packed.
withdrawals: HashMap[address, HashMap[bytes32, uint256]]
# @dev recorder -> nonce // 256 -> one bit per used nonce.
nonce_bitmaps: HashMap[address, HashMap[uint256, uint256]]

# ---------------------------------------------------------------------------------------------------------
# Checkpoint anchors
# ---------------------------------------------------------------------------------------------------------

@external
def anchor(log_id: bytes32, size: uint64, root: bytes32, content: bytes32):
    """
    @notice Anchor a checkpoint of the caller's log: from this block on anyone can prove that its first
            `size` entries existed and which they were.
    @dev Append-only: `size` must be greater than the last one anchored for this owner and log. Each root
         stays in storage under its size, so any of them can be proved later.
    @param log_id Which of the owner's logs: SHA-256 of its origin line.
    @param size Number of entries, at least 1.
    @param root RFC 9162 (SHA-256) root hash of the first `size` entries.
    @param content SHA-256 of the signed checkpoint note, zero where it is not published.
    @custom:reverts ZeroRoot, SizeNotGreater
    """
    if root == empty(bytes32):
        raw_revert(method_id("ZeroRoot()"))
    packed: uint256 = self.heads[msg.sender][log_id]
    anchored: uint64 = convert(packed & MASK64, uint64)
    if size <= anchored:
        raw_revert(abi_encode(anchored, size, method_id=method_id("SizeNotGreater(uint64,uint64)")))
    count: uint256 = ((packed >> 64) & MASK64) + 1
    self.heads[msg.sender][log_id] = (
        convert(size, uint256) | count << 64 | block.number << 128 | block.timestamp << 192
    )
    self.roots[msg.sender][log_id][size] = root
    log Anchor(owner=msg.sender, log_id=log_id, size=size, root=root, content=content)


@external
@view
def head(owner: address, log_id: bytes32) -> (uint64, uint64, uint64, uint64):
    """
    @notice The last anchor of a log.
    @param owner The account that anchors the log.
    @param log_id SHA-256 of the log's origin line.
    @return Size, number of anchors so far, block number and timestamp of the last one; zeros when none.
    """
    packed: uint256 = self.heads[owner][log_id]
    return (
        convert(packed & MASK64, uint64),
        convert((packed >> 64) & MASK64, uint64),
        convert((packed >> 128) & MASK64, uint64),
        convert(packed >> 192, uint64),
    )


@external
@view
def anchored_root(owner: address, log_id: bytes32, size: uint64) -> bytes32:
    """
    @notice The root that was anchored for a size.
    @param owner The account that anchors the log.
    @param log_id SHA-256 of the log's origin line.
    @param size Size of the anchored checkpoint.
    @return The root hash; zero when this size was never anchored.
    """
    return self.roots[owner][log_id][size]

# ---------------------------------------------------------------------------------------------------------
# Records
# ---------------------------------------------------------------------------------------------------------

@external
def commit(assetCid: String[128], commitData: String[2048]) -> uint256:
    """
    @notice Record a statement about a media file under the caller's address (ERC-7053).
    @dev Emits only; nothing is stored.
    @param assetCid Content identifier of the file or of what describes it.
    @param commitData The statement, or its hash or content identifier. It is public for ever.
    @return The number of the block that holds the record.
    """
    log Commit(recorder=msg.sender, assetCid=assetCid, commitData=commitData)
    return block.number


@external
def commit_for(
    recorder: address,
    assetCid: String[128],
    commitData: String[2048],
    nonce: uint256,
    deadline: uint256,
    v: uint8,
    r: bytes32,
    s: bytes32,
) -> uint256:
    """
    @notice Record a statement that `recorder` signed (EIP-712); anyone may relay it and pay for it.
    @param recorder Who makes the statement and signed it.
    @param assetCid Content identifier, as in `commit`.
    @param commitData The statement, as in `commit`; the signature covers its keccak256.
    @param nonce Any number the recorder did not use before; nonces need no order.
    @param deadline Last block timestamp (Unix seconds) at which the signature counts.
    @param v Recovery id, 27 or 28.
    @param r First half of the signature.
    @param s Second half of the signature, in the lower half of the curve's order.
    @return The number of the block that holds the record.
    @custom:reverts SignatureExpired, SignatureNotLowS, SignerMismatch, NonceUsed
    """
    self._authorize(
        recorder, COMMIT_TYPEHASH, keccak256(assetCid), keccak256(commitData), nonce, deadline, v, r, s
    )
    log Commit(recorder=recorder, assetCid=assetCid, commitData=commitData)
    return block.number


@external
def commit_batch(root: bytes32, size: uint64, content: bytes32):
    """
    @notice Record `size` statements at once, as the leaves of an RFC 9162 (SHA-256) tree.
    @param root Root hash of the tree.
    @param size Number of leaves, at least 1.
    @param content SHA-256 of the published list of leaves, zero where it is not published.
    @custom:reverts ZeroRoot, ZeroSize, BatchExists
    """
    if root == empty(bytes32):
        raw_revert(method_id("ZeroRoot()"))
    if size == 0:
        raw_revert(method_id("ZeroSize()"))
    packed: uint256 = self.batches[msg.sender][root]
    if packed != 0:
        raw_revert(
            abi_encode(
                msg.sender,
                root,
                convert((packed >> 64) & MASK64, uint64),
                method_id=method_id("BatchExists(address,bytes32,uint64)"),
            )
        )
    self.batches[msg.sender][root] = (
        convert(size, uint256) | block.number << 64 | block.timestamp << 128
    )
    log CommitBatch(recorder=msg.sender, root=root, size=size, content=content)


@external
@view
def batch(recorder: address, root: bytes32) -> (uint64, uint64, uint64):
    """
    @notice When a batch was recorded.
    @param recorder Who recorded it.
    @param root Root hash of its tree.
    @return Number of leaves, block number and timestamp; zeros when there is no such batch.
    """
    packed: uint256 = self.batches[recorder][root]
    return (
        convert(packed & MASK64, uint64),
        convert((packed >> 64) & MASK64, uint64),
        convert((packed >> 128) & MASK64, uint64),
    )

# ---------------------------------------------------------------------------------------------------------
# Withdrawal
# ---------------------------------------------------------------------------------------------------------

@external
def withdraw(assetCid: String[128], reason: String[256]):
    """
    @notice Mark what the caller recorded about `assetCid` as withdrawn. Nothing is deleted.
    @dev The mark belongs to the caller: it says nothing about records of others with the same identifier.
         For a member of a batch the identifier is whatever the recorder published for that member.
    @param assetCid The identifier that was recorded.
    @param reason Why, for people to read.
    @custom:reverts AlreadyWithdrawn
    """
    self._withdraw(msg.sender, assetCid, reason)


@external
def withdraw_for(
    recorder: address,
    assetCid: String[128],
    reason: String[256],
    nonce: uint256,
    deadline: uint256,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    """
    @notice `withdraw`, signed by `recorder` (EIP-712) and relayed by anyone.
    @param recorder Who withdraws and signed it.
    @param assetCid The identifier that was recorded.
    @param reason Why, for people to read.
    @param nonce Any number the recorder did not use before.
    @param deadline Last block timestamp (Unix seconds) at which the signature counts.
    @param v Recovery id, 27 or 28.
    @param r First half of the signature.
    @param s Second half of the signature, in the lower half of the curve's order.
    @custom:reverts SignatureExpired, SignatureNotLowS, SignerMismatch, NonceUsed, AlreadyWithdrawn
    """
    self._authorize(
        recorder, WITHDRAW_TYPEHASH, keccak256(assetCid), keccak256(reason), nonce, deadline, v, r, s
    )
    self._withdraw(recorder, assetCid, reason)


@external
@view
def withdrawal(recorder: address, assetCid: String[128]) -> (uint64, uint64):
    """
    @notice Whether and when a recorder withdrew what it recorded about an identifier.
    @param recorder The recorder.
    @param assetCid The identifier.
    @return Block number and timestamp of the withdrawal; zeros when there was none.
    """
    packed: uint256 = self.withdrawals[recorder][keccak256(assetCid)]
    return (convert(packed & MASK64, uint64), convert(packed >> 64, uint64))


@internal
def _withdraw(recorder: address, assetCid: String[128], reason: String[256]):
    """
    @dev Sets the mark once; the caller has made sure that `recorder` wants it.
    @param recorder Whose record.
    @param assetCid The identifier.
    @param reason Why.
    """
    id_hash: bytes32 = keccak256(assetCid)
    packed: uint256 = self.withdrawals[recorder][id_hash]
    if packed != 0:
        raw_revert(
            abi_encode(
                recorder,
                id_hash,
                convert(packed & MASK64, uint64),
                method_id=method_id("AlreadyWithdrawn(address,bytes32,uint64)"),
            )
        )
    self.withdrawals[recorder][id_hash] = block.number | block.timestamp << 64
    log Withdraw(recorder=recorder, assetCid=assetCid, reason=reason)

# ---------------------------------------------------------------------------------------------------------
# Signatures (EIP-712) and unordered nonces
# ---------------------------------------------------------------------------------------------------------

@external
def invalidate_nonces(word: uint256, mask: uint256):
    """
    @notice Mark nonces of the caller as used, so that signatures given away earlier stop counting.
    @param word Which 256 nonces: `nonce // 256`.
    @param mask Bit `nonce % 256` set for each nonce to invalidate.
    """
    self.nonce_bitmaps[msg.sender][word] |= mask
    log NoncesInvalidated(recorder=msg.sender, word=word, mask=mask)


@external
@view
def is_nonce_used(recorder: address, nonce: uint256) -> bool:
    """
    @notice Whether a nonce was used or invalidated.
    @param recorder The signer.
    @param nonce The nonce.
    @return True when a signature with this nonce no longer counts.
    """
    return (self.nonce_bitmaps[recorder][nonce >> 8] >> (nonce & 255)) & 1 == 1


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    """
    @notice EIP-712 domain separator for the chain this runs on now.
    @return The separator.
    """
    return self._domain_separator()


@external
@view
def eip712Domain() -> (bytes1, String[11], String[1], uint256, address, bytes32, DynArray[uint256, 1]):
    """
    @notice EIP-5267: the fields of the EIP-712 domain.
    @return Bit map of the fields in use (name, version, chain id, contract), and the fields.
    """
    return (0x0f, NAME, VERSION, chain.id, self, empty(bytes32), [])


@internal
@view
def _domain_separator() -> bytes32:
    """
    @dev Reads chain.id each time: after a chain split no signature counts on both sides.
    @return EIP-712 domain separator.
    """
    return keccak256(abi_encode(DOMAIN_TYPEHASH, keccak256(NAME), keccak256(VERSION), chain.id, self))


@internal
def _authorize(
    recorder: address,
    typehash: bytes32,
    id_hash: bytes32,
    data_hash: bytes32,
    nonce: uint256,
    deadline: uint256,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    """
    @dev Reverts unless `recorder` signed these values and the nonce is fresh; then uses the nonce up.
    @param recorder Who should have signed.
    @param typehash EIP-712 type: commit or withdraw.
    @param id_hash keccak256 of the identifier.
    @param data_hash keccak256 of the statement or reason.
    @param nonce The signed nonce.
    @param deadline The signed deadline.
    @param v Recovery id, 27 or 28.
    @param r First half of the signature.
    @param s Second half of the signature.
    """
    if block.timestamp > deadline:
        raw_revert(
            abi_encode(deadline, block.timestamp, method_id=method_id("SignatureExpired(uint256,uint256)"))
        )
    if convert(s, uint256) > convert(HALF_N, uint256):
        raw_revert(abi_encode(s, method_id=method_id("SignatureNotLowS(bytes32)")))
    struct_hash: bytes32 = keccak256(abi_encode(typehash, recorder, id_hash, data_hash, nonce, deadline))
    digest: bytes32 = keccak256(concat(x"1901", self._domain_separator(), struct_hash))
    signer: address = ecrecover(digest, v, r, s)
    if signer == empty(address) or signer != recorder:
        raw_revert(abi_encode(signer, recorder, method_id=method_id("SignerMismatch(address,address)")))
    bitmap: uint256 = self.nonce_bitmaps[recorder][nonce >> 8]
    bit: uint256 = 1 << (nonce & 255)
    if bitmap & bit != 0:
        raw_revert(abi_encode(recorder, nonce, method_id=method_id("NonceUsed(address,uint256)")))
    self.nonce_bitmaps[recorder][nonce >> 8] = bitmap | bit

# ---------------------------------------------------------------------------------------------------------
# Inclusion proofs (RFC 9162, SHA-256)
# ---------------------------------------------------------------------------------------------------------

@external
@view
def verify_inclusion(
    leaf_hash: bytes32, index: uint64, size: uint64, proof: DynArray[bytes32, MAX_PROOF], root: bytes32
) -> bool:
    """
    @notice Verify an inclusion proof, RFC 9162 section 2.1.3.2.
    @param leaf_hash SHA-256(0x00 || leaf).
    @param index Position of the leaf, from 0.
    @param size Number of leaves in the tree.
    @param proof Hashes of the path, from the leaf up.
    @param root Root hash of the tree.
    @return Whether the proof is right.
    """
    return self._verify_inclusion(leaf_hash, index, size, proof, root)


@external
@view
def verify_anchored(
    owner: address,
    log_id: bytes32,
    leaf_hash: bytes32,
    index: uint64,
    size: uint64,
    proof: DynArray[bytes32, MAX_PROOF],
) -> bool:
    """
    @notice Verify that a leaf is in a log whose checkpoint of `size` entries was anchored here.
    @param owner The account that anchors the log.
    @param log_id SHA-256 of the log's origin line.
    @param leaf_hash SHA-256(0x00 || leaf).
    @param index Position of the leaf, from 0.
    @param size Size of an anchored checkpoint.
    @param proof Hashes of the path, from the leaf up.
    @return Whether such a checkpoint was anchored and the proof is right.
    """
    root: bytes32 = self.roots[owner][log_id][size]
    return root != empty(bytes32) and self._verify_inclusion(leaf_hash, index, size, proof, root)


@external
@view
def verify_batch(
    recorder: address, root: bytes32, leaf_hash: bytes32, index: uint64, proof: DynArray[bytes32, MAX_PROOF]
) -> bool:
    """
    @notice Verify that a leaf belongs to a batch recorded by `commit_batch`.
    @param recorder Who recorded the batch.
    @param root Root hash of the batch's tree.
    @param leaf_hash SHA-256(0x00 || leaf).
    @param index Position of the leaf, from 0.
    @param proof Hashes of the path, from the leaf up.
    @return Whether there is such a batch and the proof is right.
    """
    size: uint64 = convert(self.batches[recorder][root] & MASK64, uint64)
    # without such a batch the size is 0, and no index is below it
    return self._verify_inclusion(leaf_hash, index, size, proof, root)


@internal
@pure
def _verify_inclusion(
    leaf_hash: bytes32, index: uint64, size: uint64, proof: DynArray[bytes32, MAX_PROOF], root: bytes32
) -> bool:
    """
    @dev RFC 9162 section 2.1.3.2; `fn` is the node's position on its level, `sn` that of the last node there.
    @param leaf_hash SHA-256(0x00 || leaf).
    @param index Position of the leaf, from 0.
    @param size Number of leaves in the tree.
    @param proof Hashes of the path, from the leaf up.
    @param root Root hash of the tree.
    @return Whether the proof is right.
    """
    if index >= size:
        return False
    fn: uint256 = convert(index, uint256)
    sn: uint256 = convert(size, uint256) - 1
    r: bytes32 = leaf_hash
    for p: bytes32 in proof:
        if sn == 0:
            return False
        if fn & 1 == 1 or fn == sn:
            r = sha256(concat(x"01", p, r))
            for _: uint256 in range(MAX_PROOF):
                if fn & 1 == 1 or fn == 0:
                    break
                fn >>= 1
                sn >>= 1
        else:
            r = sha256(concat(x"01", r, p))
        fn >>= 1
        sn >>= 1
    return sn == 0 and r == root

# ---------------------------------------------------------------------------------------------------------
# Look-up by soft binding (C2PA 2.2, Soft Binding API, section 2: Federated Lookup)
# ---------------------------------------------------------------------------------------------------------

@external
def publish_soft_binding(alg: String[128], softBindingValue: String[512], message: String[1024]):
    """
    @notice OPT-IN: make a manifest findable by a soft binding (watermark or fingerprint) of its file.
            WARNING: the value and the link to you are public for ever. Whoever holds a similar picture can
            confirm that it is yours, and a perceptual fingerprint reveals roughly what the picture shows.
            Do not publish one for a picture that must not be found.
    @dev Emits only. `message` is not checked here: readers must treat it as untrusted input.
    @param alg Name of the algorithm in the C2PA soft binding algorithm list.
    @param softBindingValue The value, base64, in the algorithm's own format.
    @param message JSON as `describe` says: {"endpoints": [URI, ...], "manifestId": "..."}.
    """
    log SoftBinding(value=softBindingValue, alg=alg, recorder=msg.sender, message=message)


@external
@view
def describe() -> String[1280]:
    """
    @notice How to find manifests by soft binding here, in the words of the C2PA Soft Binding API, 2.2.
    @dev The key is topic 1 of the SoftBinding event: keccak256 of the base64 text of the value.
    @return JSON, an array with one resolution method.
    """
    return concat(
        '[{"resolutionMethod":"eventLog","queryEventLog":{"smartContractAddress":"0x',
        self._hex(self),
        '","keyTopic":"topic1","byBindingOutputSchema":{',
        '"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{',
        '"endpoints":{"type":"array","items":{"type":"string","format":"uri"},',
        '"description":"The URL(s) of the Softbinding Resolution API that may resolve this manifest ID."},',
        '"manifestId":{"type":"string",',
        '"description":"The optional unique identifier of the C2PA manifest, used to retrieve specific metadata."}',
        '},"required":["endpoints"],"additionalProperties":false}}}]',
    )


@internal
@pure
def _hex(account: address) -> String[40]:
    """
    @dev The digits are shifted in one by one: the first 32 fill `high`, the last 8 are left in `low`.
    @param account An address.
    @return Its 40 hexadecimal digits, lower case, without 0x.
    """
    digits: uint256 = convert(account, uint256)
    high: uint256 = 0
    low: uint256 = 0
    for i: uint256 in range(40):
        nibble: uint256 = (digits >> (156 - 4 * i)) & 15
        char: uint256 = nibble + 48 if nibble < 10 else nibble + 87
        if i < 32:
            high = high << 8 | char
        else:
            low = low << 8 | char
    return convert(
        concat(convert(high, bytes32), slice(convert(low << 192, bytes32), 0, 8)), String[40]
    )
