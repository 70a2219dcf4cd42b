import Foundation

extension Canvas {
    /// A point in a shape of its own, so that lines are told apart without colors too.
    /// - Parameter shape: 0 for a dot; there are seven.
    mutating func marker(_ center: Point, shape: Int, radius: Double, color: String, title: String = "") {
        let corners = Self.corners[shape % Self.corners.count]
        guard !corners.isEmpty else { return dot(center, radius: radius, color: color, title: title) }
        let points = corners.map { Point(x: center.x + $0.x * radius, y: center.y + $0.y * radius) }
        polygon(points, color: color, title: title)
    }

    /// The corners of shapes that look as large as a dot of radius 1.
    private static let corners: [[Point]] = [
        [],
        polygon(4, size: 1.25, turned: 0.125),  // square
        polygon(3, size: 1.5),  // triangle
        polygon(4, size: 1.45),  // diamond
        polygon(3, size: 1.5, turned: 0.5),  // triangle on its tip
        star(5, outer: 1.7, inner: 0.75),
        star(4, outer: 1.6, inner: 0.55, turned: 0.125),  // cross
    ]

    /// - Parameter turned: a share of a whole turn; a corner is on top where it is 0.
    private static func polygon(_ count: Int, size: Double, turned: Double = 0) -> [Point] {
        (0..<count).map { index in
            let angle = 2 * Double.pi * (Double(index) / Double(count) + turned)
            return Point(x: sin(angle) * size, y: -cos(angle) * size)
        }
    }

    private static func star(_ tips: Int, outer: Double, inner: Double, turned: Double = 0) -> [Point] {
        let ends = polygon(tips, size: outer, turned: turned)
        let notches = polygon(tips, size: inner, turned: turned + 0.5 / Double(tips))
        return zip(ends, notches).flatMap { [$0, $1] }
    }
}
