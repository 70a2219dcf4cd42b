import Foundation
import Tensors
import Testing

/// The bytes of a file: length, header as given, data.
func safetensorsBytes(header: [UInt8], data: [UInt8]) -> [UInt8] {
    withUnsafeBytes(of: UInt64(header.count).littleEndian, Array.init) + header + data
}

/// Opens the bytes as a file, whose name is gone by the time it is returned: the map keeps the bytes.
func safetensorsFile(_ bytes: [UInt8]) throws -> SafetensorsFile {
    try withTemporaryFolder { folder in
        try AtomicFile.write(bytes, to: folder + "/test.safetensors")
        return try SafetensorsFile(path: folder + "/test.safetensors")
    }
}

extension SafetensorsFile {
    /// The elements as floats; what is not written stays at a value that no test expects.
    func floats(_ name: String) throws -> [Float] {
        var values = [Float](repeating: -12345, count: try entry(name).count)
        try values.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            try copyFloats(of: name, into: start)
        }
        return values
    }

    func int32s(_ name: String) throws -> [Int32] {
        var values = [Int32](repeating: -12345, count: try entry(name).count)
        try values.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            try copyInt32s(of: name, into: start)
        }
        return values
    }
}

/// 581 bytes made by Python's safetensors 0.8.0 with torch:
/// ```
/// save({"layers.0.weight": tensor([[1.5, -2.25, inf], [0.0, -0.0, 3e-40]]),
///       "half": tensor([0.1, -65504.0], dtype=float16), "brain": tensor([0.1, 3e38, -1.0], dtype=bfloat16),
///       "tokens": tensor([[1, -2], [3, 2**31 - 1]]), "mask": tensor([True, False, True]),
///       "scalar": tensor(0.1, dtype=float64), "empty": zeros(0, 4)}, {"format": "pt", "note": 'line\nbreak "é"'})
/// ```
let pythonFile = [UInt8](
    Data(
        base64Encoded: """
            8AEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJub3RlIjoibGluZVxuYnJlYWsgXCLDqVwiIiwiZm9ybWF0IjoicHQifSwidG9rZW5zIjp7ImR0eX
            BlIjoiSTY0Iiwic2hhcGUiOlsyLDJdLCJkYXRhX29mZnNldHMiOlswLDMyXX0sInNjYWxhciI6eyJkdHlwZSI6IkY2NCIsInNoYXBlIjpbXSwi
            ZGF0YV9vZmZzZXRzIjpbMzIsNDBdfSwiZW1wdHkiOnsiZHR5cGUiOiJGMzIiLCJzaGFwZSI6WzAsNF0sImRhdGFfb2Zmc2V0cyI6WzQwLDQwXX
            0sImxheWVycy4wLndlaWdodCI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbNDAsNjRdfSwiYnJhaW4iOnsi
            ZHR5cGUiOiJCRjE2Iiwic2hhcGUiOlszXSwiZGF0YV9vZmZzZXRzIjpbNjQsNzBdfSwiaGFsZiI6eyJkdHlwZSI6IkYxNiIsInNoYXBlIjpbMl
            0sImRhdGFfb2Zmc2V0cyI6WzcwLDc0XX0sIm1hc2siOnsiZHR5cGUiOiJCT09MIiwic2hhcGUiOlszXSwiZGF0YV9vZmZzZXRzIjpbNzQsNzdd
            fX0gICAgICAgAQAAAAAAAAD+/////////wMAAAAAAAAA////fwAAAACamZmZmZm5PwAAwD8AABDAAACAfwAAAAAAAACAR0QDAM09Yn+Av2Yu//
            sBAAE=
            """, options: .ignoreUnknownCharacters)!)
