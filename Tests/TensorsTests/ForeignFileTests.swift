import Foundation
import Tensors
import Testing

/// Files of other formats under the name of a safetensors file.
@Suite struct ForeignFileTests {
    /// The beginning of a zip archive whose first file has this name.
    private static func zip(_ name: String) -> [UInt8] {
        Array("PK".utf8) + [3, 4] + [UInt8](repeating: 0, count: 22) + [UInt8(name.utf8.count), 0, 0, 0]
            + Array(name.utf8)
    }

    private static let tar =
        [UInt8](repeating: 97, count: 257) + Array("ustar\0".utf8) + [UInt8](repeating: 0, count: 250)

    @Test(
        "The wrong file says what it is",
        arguments: [
            ([], "an empty file; expected a safetensors file"),
            (
                zip("archive/data.pkl"),
                "a PyTorch checkpoint (a zip archive that torch.save has made); expected a safetensors file:"
                    + " Scripts/convert_checkpoint.py makes one of it"
            ),
            (zip("arr_0.npy"), "an archive of NumPy arrays (.npz); expected a safetensors file"),
            (zip("readme.txt"), "a zip archive; expected a safetensors file, unpacked"),
            (
                [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9],
                "a Python pickle (what torch.save made before it made zip archives); expected a safetensors file:"
                    + " Scripts/convert_checkpoint.py makes one of it"
            ),
            (
                [0x80, 4, 0x95, 1, 0, 0, 0, 0, 0, 0, 0, 0x7D],
                "a Python pickle (what torch.save made before it made zip archives); expected a safetensors file:"
                    + " Scripts/convert_checkpoint.py makes one of it"
            ),
            (
                Array("\n<!DOCTYPE html>\n<html>Not found</html>".utf8),
                "an HTML page, perhaps of a download that failed; expected a safetensors file"
            ),
            (
                Array("\u{FEFF}<HTML lang=de>".utf8),
                "an HTML page, perhaps of a download that failed; expected a safetensors file"
            ),
            (
                Array("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>".utf8),
                "an XML document; expected a safetensors file"
            ),
            (
                Array("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 162344\n".utf8),
                "a Git LFS pointer, a few lines in place of the file; expected a safetensors file: git lfs pull fetches it"
            ),
            (
                [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3],
                "compressed with gzip; expected a safetensors file: gunzip unpacks it"
            ),
            ([0x28, 0xB5, 0x2F, 0xFD, 4, 0, 1, 0, 0], "compressed with zstd; expected a safetensors file, unpacked"),
            (
                [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0, 0, 4, 0xE6],
                "compressed with xz; expected a safetensors file, unpacked"
            ),
            (Array("BZh91AY&SY".utf8), "compressed with bzip2; expected a safetensors file, unpacked"),
            ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C, 0, 4, 0], "a 7z archive; expected a safetensors file, unpacked"),
            (tar, "a tar archive; expected a safetensors file, unpacked"),
            (
                Array("GGUF".utf8) + [3, 0, 0, 0, 9],
                "a GGUF file, as llama.cpp reads them; expected a safetensors file"
            ),
            ([0x93] + Array("NUMPY".utf8) + [1, 0, 0x76, 0], "a NumPy array (.npy); expected a safetensors file"),
            ([0x89] + Array("HDF\r\n\u{1A}\n".utf8), "an HDF5 file, as Keras writes them; expected a safetensors file"),
            (Array("{\r\n  \"weight_map\": {}}".utf8), "JSON text; expected a safetensors file"),
        ] as [([UInt8], String)])
    func kinds(bytes: [UInt8], expected: String) throws {
        try withTemporaryFolder { folder in
            let path = folder + "/model.safetensors"
            try AtomicFile.write(bytes, to: path)
            #expect(inputErrorMessage { _ = try SafetensorsFile(path: path) } == "\(path): is \(expected)")
        }
    }

    /// A header's length may begin like anything else.
    @Test(
        "A safetensors file whose first bytes are those of another format is read", arguments: [0x0280, 0x0480, 0x8B1F])
    func lookAlikes(length: Int) throws {
        let header = "{}" + String(repeating: " ", count: length - 2)
        #expect(try safetensorsFile(safetensorsBytes(header: Array(header.utf8), data: [])).names.isEmpty)
    }
}
