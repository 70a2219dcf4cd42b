import Foundation

/// A pattern of a component: a string, or a regular expression in the dialect of tokenizer files (Oniguruma).
enum Pattern: Sendable {
    case string([UInt8])
    case known(KnownPattern)
    case expression(RegularExpression)

    init(_ component: Component) throws {
        if let text = component.optional("String") {
            self = .string(Array(try text.string().utf8))
        } else {
            let expression = try component.required("Regex")
            let pattern = try expression.string()
            if let known = KnownPattern(pattern) {
                self = .known(known)
            } else {
                do { self = .expression(try RegularExpression(pattern)) } catch {
                    throw expression.error("expected a regular expression, found \(pattern.debugDescription)")
                }
            }
        }
    }

    /// The ranges that match, in order.
    func matches(in text: Bytes) -> [Range<Int>] {
        switch self {
        case .string(let string): Self.occurrences(of: string, in: text)
        case .known(let known):
            {
                var (ranges, start): ([Range<Int>], Int) = ([], 0)
                known.forEachEnd(in: text) { end in
                    ranges.append(start..<end)
                    start = end
                }
                return ranges
            }()
        case .expression(let expression): expression.matches(in: text)
        }
    }

    private static func occurrences(of string: [UInt8], in text: Bytes) -> [Range<Int>] {
        var (ranges, position): ([Range<Int>], Int) = ([], 0)
        guard let first = string.first, let base = text.baseAddress else { return [] }
        while position + string.count <= text.count,
            let found = memchr(base + position, Int32(first), text.count - string.count + 1 - position)
        {
            position = UnsafeRawPointer(found) - UnsafeRawPointer(base)
            if memcmp(found, string, string.count) == 0 {
                ranges.append(position..<position + string.count)
                position += string.count
            } else {
                position += 1
            }
        }
        return ranges
    }

    /// A text with each match replaced.
    func replacingMatches(in text: [UInt8], with content: [UInt8]) -> [UInt8] {
        text.withUnsafeBufferPointer { bytes in
            let matches = matches(in: bytes)
            guard !matches.isEmpty else { return text }
            var (result, end): ([UInt8], Int) = ([], 0)
            result.reserveCapacity(text.count)
            for match in matches {
                result.append(contentsOf: bytes[end..<match.lowerBound])
                result.append(contentsOf: content)
                end = match.upperBound
            }
            result.append(contentsOf: bytes[end...])
            return result
        }
    }
}
