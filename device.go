package bert

import (
	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/cpu"
)

// Device opens what a model computes on: see Options.Device. Devices are made inside this module, by what implements its
// internal contract (internal/compute).
type Device struct {
	open func(threads int, p Precision) (compute.Device, error)
}

// NewDevice makes a Device of a function that opens it with a number of threads, 0 for all, and a precision. A model opens
// one of its own, and closes it.
func NewDevice(open func(threads int, p Precision) (compute.Device, error)) *Device {
	return &Device{open}
}

// openDevice opens the device of o.
func (o *Options) openDevice() (compute.Device, error) {
	if o.Device != nil {
		return o.Device.open(o.Threads, o.Precision)
	}
	d, err := cpu.New(o.Threads, o.Precision)
	if err != nil {
		return nil, err // not d, which would be an interface that isn't nil
	}
	return d, nil
}
