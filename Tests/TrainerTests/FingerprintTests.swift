import Foundation
import Tensors
import Testing
import Trainer

@Suite struct FingerprintTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func bytes(_ text: String) throws -> TokenSource {
        ByteTokenizer().tokens(of: try TextSource(text, name: "a text"))
    }

    /// The checksum bit by bit, from its definition (RFC 1952, section 8).
    private func reference(_ bytes: some Sequence<UInt8>) -> String {
        var value: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
        }
        return String(format: "%08x", ~value)
    }

    @Test("The fingerprint is CRC-32 with its published check value")
    func publishedChecksum() throws {
        // The check value of CRC-32 in the catalogues, of nine digits.
        #expect(try bytes("123456789").fingerprint() == "cbf43926")
        #expect(reference("123456789".utf8) == "cbf43926")
        #expect(try bytes("123456789").slice(4..<4, name: "nothing").fingerprint() == "00000000")
    }

    @Test("Every changed, added, or missing byte changes the fingerprint")
    func everyByteCounts() throws {
        let text = someText(60)
        let original = try bytes(text).fingerprint()
        for position in [0, 1, 100, text.utf8.count - 1] {
            var changed = Array(text.utf8)
            changed[position] ^= 1
            #expect(try bytes(String(decoding: changed, as: UTF8.self)).fingerprint() != original)
        }
        #expect(try bytes(text + "x").fingerprint() != original)
        #expect(try bytes(String(text.dropLast())).fingerprint() != original)
    }

    @Test("Equal parts of different texts have equal fingerprints")
    func equalPartsAreEqual() throws {
        let text = someText(60)
        let longer = try bytes("before" + text + "after")
        let part = longer.slice(6..<6 + text.utf8.count, name: "the middle")
        #expect(try part.fingerprint() == bytes(text).fingerprint())
        #expect(try part.fingerprint() != longer.fingerprint())
    }

    @Test("The fingerprint does not depend on files or read buffers")
    func filesAndPiecesDoNotMatter() throws {
        // Longer than the pieces in which bytes (262,144) and tokens (16,384) are read, and no multiple of them.
        let whole = (0..<1_100_001).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) & 0x7F }
        let one = try TextSource(path: try folder.write(whole, "whole"))
        let three = try TextSource(paths: [
            try folder.write(whole[..<7], "1"), try folder.write(whole[7..<60_000], "2"),
            try folder.write(whole[60_000...], "3"),
        ])
        let expected = reference(whole)
        for text in [one, three] { #expect(try ByteTokenizer().tokens(of: text).fingerprint() == expected) }
        let tokenizer = try CharacterTokenizer(learningFrom: [one])
        let tokens = try tokenizer.tokens(of: one)
        let part = tokens.slice(9..<40_009, name: "a part")
        let words = try part[0..<part.count].flatMap { token in (0..<4).map { UInt8(token >> ($0 * 8) & 0xFF) } }
        #expect(try part.fingerprint() == reference(words))
        #expect(try tokenizer.tokens(of: three).fingerprint() == tokens.fingerprint())
        #expect(try TokenSource(name: "in memory", tokens: part[0..<part.count]).fingerprint() == part.fingerprint())
    }
}
