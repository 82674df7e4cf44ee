package simd

// MultiplyAdds does the given number of steps of independent multiply-adds and nothing else, and returns how many floating-point
// operations they were, two for each multiply-add: what a thread can do at this level, to compare products with.
func (k *Kernels) MultiplyAdds(steps int) (operations int) {
	if perStep := k.peak(steps); perStep > 0 {
		return perStep * steps
	}
	return multiplyAddsGeneric(steps)
}

// MultiplyAdds16 is MultiplyAdds of pairs of bfloat16. Without Native16 they are those of float32.
func (k *Kernels) MultiplyAdds16(steps int) (operations int) {
	if k.peak16 == nil {
		return k.MultiplyAdds(steps)
	}
	if steps <= 0 {
		return 0
	}
	return k.peak16(steps)
}

// MultiplyAdds8 is MultiplyAdds of int8. Without instructions for it they are those of float32.
func (k *Kernels) MultiplyAdds8(steps int) (operations int) {
	if k.Int8.peak == nil {
		return k.MultiplyAdds(steps)
	}
	if steps <= 0 {
		return 0
	}
	return k.Int8.peak(steps)
}

// multiplyAddsGeneric is of single numbers, rounded between the multiplication and the addition as plain Go's products are.
// Twelve chains leave room in sixteen registers.
func multiplyAddsGeneric(steps int) int {
	const chains = 12
	var a, b, c, d, e, f, g, h, i, j, k, l float32
	x, y := float32(0.5), float32(0.5)
	for range steps {
		a = float32(a*x) + y
		b = float32(b*x) + y
		c = float32(c*x) + y
		d = float32(d*x) + y
		e = float32(e*x) + y
		f = float32(f*x) + y
		g = float32(g*x) + y
		h = float32(h*x) + y
		i = float32(i*x) + y
		j = float32(j*x) + y
		k = float32(k*x) + y
		l = float32(l*x) + y
	}
	if a+b+c+d+e+f+g+h+i+j+k+l < 0 { // never; it keeps the compiler from leaving the loop out
		return 0
	}
	return 2 * chains * steps
}
