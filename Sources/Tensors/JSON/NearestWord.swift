/// The candidate that a mistyped word was most likely meant to be, for messages such as `did you mean "group_size"?`.
///
/// Nearest by the number of letters inserted, left out, changed or swapped with their neighbor (optimal string
/// alignment), upper and lower case, `-` and `_` being the same. The first of several equally near wins.
/// - Returns: nil when nothing comes near: more than a third of the longer word would have to change, and the word is
///   no beginning of a candidate either.
package func nearest(_ word: String, in candidates: [String]) -> String? {
    // The time grows with the product of the lengths, and what is as long as that is no slip of a key.
    guard word.utf8.count <= longestWord else { return nil }
    let candidates = candidates.filter { $0.utf8.count <= longestWord }
    let letters = comparable(word)
    let distances = candidates.map { (candidate: $0, distance: editDistance(letters, comparable($0))) }
    if let best = distances.min(by: { $0.distance < $1.distance }),
        best.distance <= max(1, max(letters.count, best.candidate.count) / 3)
    {
        return best.candidate
    }
    return letters.count < 3 ? nil : candidates.first { comparable($0).starts(with: letters) }
}

private let longestWord = 200

private func comparable(_ word: String) -> [Character] {
    word.lowercased().map { $0 == "-" ? "_" : $0 }
}

private func editDistance(_ first: [Character], _ second: [Character]) -> Int {
    // Rows of the usual table: two before, one before, and the current one.
    var beforeLast: [Int] = []
    var last = Array(0...second.count)
    for i in first.indices {
        var row = [i + 1]
        for j in second.indices {
            var distance = min(last[j + 1] + 1, row[j] + 1, last[j] + (first[i] == second[j] ? 0 : 1))
            if i > 0, j > 0, first[i] == second[j - 1], first[i - 1] == second[j] {
                distance = min(distance, beforeLast[j - 1] + 1)
            }
            row.append(distance)
        }
        (beforeLast, last) = (last, row)
    }
    return last[second.count]
}
