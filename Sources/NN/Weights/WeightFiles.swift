import Foundation
import Tensors

/// The tensors of a checkpoint by name, in one safetensors file or in several.
public struct WeightFiles: Sendable {
    /// The path that was opened: a file, an index, or a folder.
    public let path: String
    /// The files that hold the tensors.
    public let files: [SafetensorsFile]
    /// The files' `__metadata__`, of which the first that has a key wins.
    public let metadata: [String: String]
    /// The tensors' names, file by file.
    public let names: [String]
    /// The index in `files` of the one that holds a tensor.
    private let places: [String: Int]

    /// Opens what a path names: a safetensors file, the index of several (`model.safetensors.index.json`), or a folder
    /// that holds either.
    ///
    /// In a folder, the first of these is taken: `model.safetensors`, `weights.safetensors`, an index, a whole set of
    /// `NAME-00001-of-00002.safetensors`, a single safetensors file of any name.
    /// - Throws: `InputError` that names the file that is missing, of another kind or damaged, or the tensor that two files
    ///   hold.
    public init(path: String) throws {
        if fileKind(path) == S_IFDIR {
            try self.init(folder: path)
        } else if path.hasSuffix(".json") {
            try self.init(index: path, path: path)
        } else {
            try self.init(SafetensorsFile(path: path))
        }
    }

    /// The tensors of one open file.
    public init(_ file: SafetensorsFile) {
        (path, files, metadata, names) = (file.path, [file], file.metadata, file.names)
        places = [:]
    }

    private init(files: [SafetensorsFile], path: String) throws {
        (self.path, self.files) = (path, files)
        metadata = files.reduce(into: [:]) { $0.merge($1.metadata) { first, _ in first } }
        names = files.flatMap(\.names)
        var places: [String: Int] = [:]
        for (index, file) in files.enumerated() {
            for name in file.names {
                if let other = places.updateValue(index, forKey: name) {
                    throw InputError(
                        "\(path): tensor \(name.shortened.debugDescription) stands in both"
                            + " \(files[other].path.lastComponent) and \(file.path.lastComponent); expected it in one file"
                    )
                }
            }
        }
        self.places = places
    }

    // MARK: Tensors

    /// Returns a tensor's entry in the header of its file; nil if no file has it.
    public func entry(_ name: String) -> SafetensorsFile.Entry? { file(of: name).entries[name] }

    /// The file that holds a tensor; any where none does.
    public func file(of name: String) -> SafetensorsFile { files[places[name] ?? 0] }

    // MARK: Several files

    private init(index: String, path: String) throws {
        let shards = try Self.shards(ofIndex: index)
        let folder = AtomicFile.folder(of: index)
        for shard in shards.keys.sorted() where fileKind(folder.appending(name: shard)) == nil {
            throw InputError(
                "\(index): names \(shard.debugDescription), which is missing; expected it beside the index")
        }
        try self.init(
            files: shards.keys.sorted().map { try SafetensorsFile(path: folder.appending(name: $0)) }, path: path)
        for file in files {
            let name = file.path.lastComponent
            guard let lost = shards[name]!.first(where: { file.entries[$0] == nil }) else { continue }
            throw InputError(
                "\(index): \"weight_map\": says that \(lost.shortened.debugDescription) is in \(name), which does not hold it"
            )
        }
    }

    /// The files that an index names, each with its tensors.
    private static func shards(ofIndex path: String) throws -> [String: [String]] {
        let document = try MappedFile(path: path).withUnsafeBytes { try JSONValue(parsing: $0, file: path) }
        guard let map = document.objectValue?["weight_map"]?.objectValue else {
            throw InputError(
                "\(path): is no index of weights: \"weight_map\" is missing; expected a safetensors file, or an index that"
                    + " names the file of each tensor")
        }
        var shards: [String: [String]] = [:]
        for (tensor, place) in map.sorted(by: { $0.key < $1.key }) {
            guard let file = place.stringValue, !file.isEmpty, !file.contains("/"), file != "..", file != "." else {
                throw InputError(
                    "\(path): \"weight_map\": \(JSONValue.quoted(tensor.shortened)): expected the name of a file beside the"
                        + " index, found \(place.kindAndValue)")
            }
            shards[file, default: []].append(tensor)
        }
        guard !shards.isEmpty else { throw InputError("\(path): \"weight_map\": is empty; expected tensors") }
        return shards
    }

    private init(folder: String) throws {
        let names = try namesInFolder(folder).sorted()
        if let single = ["model.safetensors", "weights.safetensors"].first(where: names.contains) {
            self.init(try SafetensorsFile(path: folder.appending(name: single)))
            return
        }
        let indexes = names.filter { $0.hasSuffix(".safetensors.index.json") }
        guard indexes.count < 2 else {
            throw InputError("\(folder): holds \(indexes.joined(separator: " and ")); expected one of them as the path")
        }
        if let index = indexes.first {
            try self.init(index: folder.appending(name: index), path: folder)
            return
        }
        let files = names.filter { $0.hasSuffix(".safetensors") }
        if files.isEmpty {
            throw InputError(
                "\(folder): is a folder without safetensors files; expected weights, or a file as the path")
        }
        if files.count == 1 {
            self.init(try SafetensorsFile(path: folder.appending(name: files[0])))
            return
        }
        try Self.requireSet(files, in: folder)
        try self.init(files: files.map { try SafetensorsFile(path: folder.appending(name: $0)) }, path: folder)
    }

    /// Checks that several files are one checkpoint, `NAME-00001-of-00003.safetensors` and so on.
    private static func requireSet(_ files: [String], in folder: String) throws {
        let numbers = files.compactMap { $0.firstMatch(of: /^(.*-)(\d+)-of-(\d+)\.safetensors$/) }
        let (stems, counts) = (Set(numbers.map { $0.1 }), Set(numbers.compactMap { Int($0.3) }))
        guard numbers.count == files.count, stems.count == 1, counts.count == 1, let count = counts.first else {
            throw InputError(
                "\(folder): holds \(files.count) safetensors files, \(files[0]), \(files[1])…, and no index of them;"
                    + " expected a file as the path")
        }
        let found = Set(numbers.compactMap { Int($0.2) })
        if let missing = (1...max(count, 1)).first(where: { !found.contains($0) }) {
            throw InputError("\(folder): holds \(files.count) files of \(count); number \(missing) is missing")
        }
    }
}

extension String {
    /// A file in the folder that this is the path of; an empty one is the current folder.
    fileprivate func appending(name: String) -> String {
        isEmpty ? name : hasSuffix("/") ? self + name : self + "/" + name
    }

    fileprivate var lastComponent: String { lastIndex(of: "/").map { String(self[index(after: $0)...]) } ?? self }
}
